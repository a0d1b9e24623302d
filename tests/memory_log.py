"""The log in memory, under the name that tests have for it."""

from lesson.memory_log import MemoryAck, MemoryLog, MemoryReader, MemoryWatch, MemoryWriter, Partition

__all__ = ["MemoryAck", "MemoryLog", "MemoryReader", "MemoryWatch", "MemoryWriter", "Partition"]
