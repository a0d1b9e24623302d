"""The rules of corrections, imports and versions made anew, switched off; see `switches.py`."""

from batch_layer import candidate, compaction_run, correct, publish, remake, run
from ingest import claiming, duplicates, known, writer
from slackwater.versions import barrier, corrections, rollback, venue_locks, writer_lock
from tests.simulation.switches import Edit, Switch

_BEFORE = 'reach("prove.before"); correct_parts(draft, {}, self.compute, self.options)'

WRITERS = (
    Switch(
        24,
        "what names events of a partition that is held waits",
        (Edit(correct, "reached", "return due[:at]", "continue"),),
    ),
    Switch(
        25,
        "no rollback across a correction",
        (Edit(barrier, "barrier", "if at.corrected != target.corrected:", "if False:"),),
        seeds=40,
    ),
    Switch(
        26,
        "no rollback across an import",
        (Edit(barrier, "barrier", "sorted(imported_epochs(at).keys() ^ imported_epochs(target).keys())", "[]"),),
        seeds=60,
    ),
    Switch(
        26,
        "a rollback moves the pointer from where it looked",
        (Edit(rollback, "rollback", "at if source is None else source.version, nothing", "None, nothing"),),
        seeds=200,
    ),
    Switch(
        26,
        "a version that is made holds every import",
        (Edit(remake.Remake, "_check_imports", "if lost:", "if False:"),),
    ),
    Switch(
        27,
        "what is not proven is made again of the corrected archive",
        (
            Edit(
                correct,
                "apply_corrections",
                "_whole(context, parent, corrected, own",
                "_whole(context, parent, version, own",
            ),
        ),
    ),
    Switch(
        28,
        "corrections are applied after the proof",
        (Edit(run.BatchRun, "_run", 'reach("prove.before")', _BEFORE),),
        seeds=40,
    ),
    Switch(
        29,
        "a compaction says what it is without",
        (Edit(compaction_run.CompactionRun, "_run", "dropped=None,", "dropped=None,\n        corrected=0,"),),
    ),
    Switch(
        29,
        "a candidate says what it is without",
        (Edit(candidate.CandidateRun, "_run", "dropped=None,", "dropped=None,\n        corrected=0,"),),
    ),
    Switch(
        30,
        "no writer judges while identities become free",
        (Edit(writer_lock, "hold", "while not _locked(descriptor, fcntl.LOCK_EX):", "while False:"),),
        seeds=60,
    ),
    Switch(
        30,
        "who goes on reads what is known anew",
        (Edit(writer.IngestWriter, "_step_aside", "self._filter.close()\n        self._filter = None", "pass"),),
    ),
    Switch(
        33,
        "one writer of a venue at a time",
        (
            Edit(
                venue_locks.VenueLocks,
                "take",
                "hold_file(self._folder / _name(venue))",
                "hold_file(self._folder / os.urandom(8).hex())",
            ),
        ),
        seeds=60,
    ),
    Switch(
        33,
        "who takes a venue over reads what was appended of it",
        (Edit(duplicates.DuplicateFilter, "judge", "self._behind = {**self._upto, **self._behind}", "pass"),),
    ),
    Switch(
        34,
        "what is claimed is left alone",
        (Edit(known.Known, "judge", "if self.claims:", "if False:"),),
        seeds=200,
    ),
    Switch(
        34,
        "an import leaves out what the log has by its claim",
        (Edit(claiming.Claiming, "claim", "if taken else done", "if False else done"),),
    ),
    Switch(
        34,
        "an import reads the log to its end while no writer judges",
        (Edit(writer.IngestWriter, "stand", "self.flush()", "pass"),),
    ),
    Switch(
        35,
        "a claim ends with what is published by then",
        (Edit(duplicates.DuplicateFilter, "_end_claims", "if pointer != self._pointer:", "if False:"),),
    ),
    Switch(
        31,
        "identities of what is gone are free",
        (Edit(publish, "assemble", "files, found = _free(draft, stream, files, found)", "pass"),),
        seeds=60,
    ),
    Switch(
        32,
        "the ledger is written whole",
        (Edit(corrections.Corrections, "record", "self._files.replace(", "self._files.create("),),
    ),
    Switch(
        32,
        "a number that is applied is durable",
        (Edit(corrections.Corrections, "sync", "self._files.sync(self._path(correction.number))", "pass"),),
    ),
)
