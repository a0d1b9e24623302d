"""Seeds that broke something once; they always run. Seed -> what it found."""

KEPT: dict[int, str] = {
    1284: "a correction was called applied that waits behind one of another stream",
    1325: "a version was made of one from before the stream of an import, and lost that",
    1027: "an ingest process read the pointer, and the manifest only after that version was retired and removed",
    1402: "a rollback to a version whose writer was killed before it synced the manifest",
    310590: "a delta of a sealed cell was not taken, and no event came: nobody heard of it until the pipeline ended",
    323191: "a run made the folder of a version that was published and removed meanwhile (read from the wrong bytes)",
    331069: "the simulation's writer of ingest went on sending after it was closed with an error",
    340496: "a tail was lost of a partition of which the version held nothing: no run had to refuse it",
    3336: "a power cut after a rollback to such a version",
}
