"""The ledger of declared instruments, and the command that loads it: durable, append-only, of any number of writers."""

import json
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ops.cli import main
from slackwater.core.faults import POINTS
from slackwater.instruments.facts import Facts
from slackwater.instruments.given import facts_of
from slackwater.instruments.ledger import InstrumentsLedger
from slackwater.store.files import FileState
from slackwater.store.local_files import LocalFiles
from slackwater.versions.backup import back_up
from slackwater.versions.errors import RecordError
from slackwater.versions.restore import restore
from slackwater.versions.store import VersionStore
from tests import forked
from tests.crash_kit import AGAIN
from tests.test_declared_instruments import INVERSE, OPTION, SPOT, T0, row
from tests.test_expire import House

POINTS_OF_LEDGER = [p for p in POINTS if p.partition(".")[0] == "instruments"]


def ledger_of(home: Path) -> InstrumentsLedger:
    return InstrumentsLedger(VersionStore(home))


def declare(ledger: InstrumentsLedger, *rows: Facts, **more: Any) -> tuple[int, int, int]:
    found = ledger.declare(rows, 5, "me", **more)
    return found.added + found.replaced, found.unchanged, len(found.conflicts)


def written(home: Path, *rows: dict[str, Any], name: str = "rows.json") -> str:
    path = home.parent / name
    path.write_text(json.dumps(rows))
    return str(path)


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["--home", str(home), "instruments", *words])


def test_what_was_declared_is_read_by_others_and_stays(tmp_path: Path) -> None:
    ledger, other = ledger_of(tmp_path), ledger_of(tmp_path)
    assert len(other.table()) == 0 and not (tmp_path / "instruments").exists()
    assert declare(ledger, row(T0), row(0), reason="why") == (1, 1, 0)
    assert [*other.table()] == [row(0)]
    assert declare(other, row(T0), row(T0 + 5, multiplier=10)) == (1, 1, 0)
    assert [*ledger.table()] == [*ledger_of(tmp_path).table()] == [row(0), row(T0 + 5, multiplier=10)]
    first, second = ledger.all()
    assert (first.number, first.rows, first.at_us, first.by, first.reason) == (1, (row(0),), 5, "me", "why")
    assert second.rows == (row(T0 + 5, multiplier=10),)


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    assert declare(ledger) == (0, 0, 0)
    declare(ledger, row())
    for again in (ledger, ledger_of(tmp_path)):
        assert declare(again, row(), row(T0)) == (0, 2, 0)
    assert [path.name for path in (tmp_path / "instruments").iterdir()] == ["1.json"]


def test_other_facts_are_a_conflict_and_take_the_place_where_they_are_to(tmp_path: Path) -> None:
    ledger, other = ledger_of(tmp_path), facts_of(SPOT)
    declare(ledger, row())
    assert declare(ledger, row(multiplier=7), other, whole=True) == (1, 0, 1)
    assert [*ledger.table()] == [row()]
    assert declare(ledger, row(multiplier=7), other) == (1, 0, 1)
    assert [*ledger.table()] == [other, row()]
    assert declare(ledger, row(multiplier=7), reason="it was wrong", replace=True) == (1, 0, 0)
    for each in (ledger, ledger_of(tmp_path)):
        assert each.table().at("x", "BTCUSD_PERP", T0) == row(multiplier=7)
    assert [(one.rows[0].multiplier, one.reason) for one in ledger.all() if one.rows[0].kind == "inverse"] == [
        (100, ""),
        (7, "it was wrong"),
    ]


def test_two_writers_at_once_lose_nothing_and_add_nothing_twice(tmp_path: Path) -> None:
    began = threading.Barrier(4)
    failed: list[BaseException] = []

    def write(own: int) -> None:
        ledger = ledger_of(tmp_path)
        try:
            began.wait(10)
            for i in range(10):
                declare(ledger, row(symbol=f"OWN{own}.{i}"), row(symbol=f"SHARED{i}"))
        except BaseException as error:  # noqa: BLE001 - it is shown by the test's own thread
            failed.append(error)

    writers = [threading.Thread(target=write, args=(own,)) for own in range(4)]
    for each in writers:
        each.start()
    for each in writers:
        each.join(60)
    assert not failed
    ledger = ledger_of(tmp_path)
    names = sorted([f"OWN{own}.{i}" for own in range(4) for i in range(10)] + [f"SHARED{i}" for i in range(10)])
    assert [symbol for _, symbol in ledger.table().names()] == names
    assert sorted(facts.symbol for one in ledger.all() for facts in one.rows) == names
    assert [one.number for one in ledger.all()] == list(range(1, len(ledger.all()) + 1))


class Counting(LocalFiles):
    """Counts what is read of the ledger."""

    def __init__(self) -> None:
        self.reads = self.looks = 0
        self.settled = True

    def read(self, path: Path) -> bytes:
        self.reads += 1
        return super().read(path)

    def names(self, folder: Path) -> list[str]:
        self.looks += 1
        return super().names(folder)

    def state(self, path: Path) -> FileState:
        return super().state(path)._replace(settled=self.settled)


def test_a_reader_looks_again_only_where_the_folder_changed(tmp_path: Path) -> None:
    files = Counting()
    ledger, writer = InstrumentsLedger(VersionStore(tmp_path, files)), ledger_of(tmp_path)
    declare(writer, row())
    for _ in range(5):
        assert len(ledger.table()) == 1
    assert (files.reads, files.looks) == (1, 1)
    declare(writer, row(T0, multiplier=2))
    for _ in range(5):
        assert len(ledger.table()) == 2
    assert (files.reads, files.looks) == (2, 2)
    files.settled = False  # so soon after a change that a second one may not show
    for _ in range(5):
        assert len(ledger.table()) == 2
    assert (files.reads, files.looks) == (2, 7)


@pytest.mark.parametrize("spoil", ["gone", "torn", "foreign"])
def test_a_ledger_that_is_not_whole_is_refused(spoil: str, tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    declare(ledger, row())
    declare(ledger, row(T0, multiplier=2))
    path = tmp_path / "instruments" / "1.json"
    if spoil == "gone":
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(data[:-9] if spoil == "torn" else data.replace(b"100", b"101"))
    for refused in (lambda: ledger_of(tmp_path).table(), lambda: declare(ledger_of(tmp_path), row(T0 + 1))):
        with pytest.raises(RecordError, match=r"1\.json cannot be read"):
            refused()
    shown = run(tmp_path, "list")
    assert isinstance(shown.exception, RecordError)


@pytest.mark.parametrize("point", [*POINTS_OF_LEDGER, "publish.rename"])
@pytest.mark.parametrize(("action", "code"), [("kill", -signal.SIGKILL), ("enospc", AGAIN)])
def test_a_writer_that_dies_leaves_all_of_its_rows_or_none(point: str, action: str, code: int, tmp_path: Path) -> None:
    home = tmp_path / "home"
    declare(ledger_of(home), row())
    name = written(home, {**INVERSE, "multiplier": 7, "effective": T0}, SPOT)
    words = ("--home", str(home), "instruments", "load", name)
    assert forked.call(*words, environ={"SLACKWATER_FAULT": f"{point}:{action}"}).returncode == code
    assert len(ledger_of(home).table()) == (3 if point == "instruments.after" else 1)
    again = forked.call(*words, "--json", environ={})
    assert again.returncode == 0, again.stderr
    facts = json.loads(again.stdout)
    assert (facts["added"], facts["unchanged"]) == ((0, 2) if point == "instruments.after" else (2, 0))
    assert [*ledger_of(home).table()] == [facts_of(SPOT), row(), row(T0, multiplier=7)]


def test_a_backup_carries_what_was_declared(tmp_path: Path) -> None:
    house = House(tmp_path / "home")
    house.run()
    declare(InstrumentsLedger(house.store), row(), facts_of(OPTION))
    back_up(house.store, tmp_path / "backup", 1)
    declare(InstrumentsLedger(house.store), row(T0, multiplier=7))
    restore(tmp_path / "backup", tmp_path / "first")
    assert [*ledger_of(tmp_path / "first").table()] == [facts_of(OPTION), row()]
    back_up(house.store, tmp_path / "backup", 2)
    restore(tmp_path / "backup", tmp_path / "second")
    assert InstrumentsLedger(house.store).all() == ledger_of(tmp_path / "second").all()
    assert declare(ledger_of(tmp_path / "second"), row(T0, multiplier=7)) == (0, 1, 0)


def loaded(result: Result) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(result.stdout)
    return facts


def test_a_file_with_a_row_that_is_refused_is_loaded_whole_or_as_it_is_told(tmp_path: Path) -> None:
    home = tmp_path / "home"
    path = tmp_path / "some.csv"
    lines = [
        "venue,symbol,kind,base,quote,multiplier,tick",
        "x,A,spot,A,B,,0.01",
        "x,B,inverse,A,B,100,1e-9",
        "x,C,swap,A,B,,",
    ]
    path.write_text("\n".join(lines))
    shown = run(home, "load", str(path))
    assert "Nothing is loaded: 2 of 3 rows are refused." in str(shown.exception)
    assert "line 3: tick-too-small. tick is 0.000000001: 9 digits behind the point" in shown.stdout
    assert "line 4: bad-kind. kind is 'swap'." in shown.stdout and "    x,C,swap,A,B,," in shown.stdout
    assert len(ledger_of(home).table()) == 0
    for words, count, done in ((("--dry-run",), 0, False), ((), 1, True), ((), 1, True)):
        facts = loaded(run(home, "load", str(path), "--skip-refused", "--json", *words))
        assert (facts["loaded"], facts["refused"]) == (done, {"bad-kind": 1, "tick-too-small": 1})
        assert [each["place"] for each in facts["rows"]] == ["line 3", "line 4"]
        assert len(ledger_of(home).table()) == count
    assert (facts["added"], facts["unchanged"]) == (0, 1)


def test_a_conflict_is_shown_and_replaced_with_a_reason_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert run(home, "load", written(home, INVERSE, SPOT)).exit_code == 0
    other = written(home, OPTION, {**INVERSE, "multiplier": 10}, name="other.json")
    for words in ((), ("--dry-run",)):
        shown = run(home, "load", other, *words)
        assert "1 of 2 rows are refused" in str(shown.exception)
        assert (
            "element 2: conflict. x:BTCUSD_PERP has the multiplier 100 from always, and this says 10." in shown.stdout
        )
    assert len(ledger_of(home).table()) == 2
    assert "--replace needs --reason" in run(home, "load", other, "--replace").output
    facts = loaded(run(home, "load", other, "--replace", "--reason", "it was 10", "--dry-run", "--json"))
    assert (facts["loaded"], facts["added"], facts["replaced"]) == (False, 1, 1)
    facts = loaded(run(home, "load", other, "--replace", "--reason", "it was 10", "--json"))
    assert (facts["loaded"], facts["added"], facts["replaced"], facts["refused"]) == (True, 1, 1, {})
    one = ledger_of(home).all()[-1]
    assert (one.reason, bool(one.by), len(one.rows)) == ("it was 10", True, 2)


def test_several_files_are_loaded_together_or_not_at_all(tmp_path: Path) -> None:
    home = tmp_path / "home"
    good, bad = written(home, SPOT), written(home, {**INVERSE, "tick": 0}, name="bad.json")
    shown = run(home, "load", good, bad)
    assert f"{bad}, element 1: bad-tick" in shown.stdout and len(ledger_of(home).table()) == 0
    assert run(home, "load", good, written(home, INVERSE, name="third.json")).exit_code == 0
    assert len(ledger_of(home).table()) == 2 and len(ledger_of(home).all()) == 1


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", "It is empty"), (b"a,b\n1,2\n", "a column 'a'"), (b"[{", "no JSON array"), (None, "No such file")],
)
def test_a_file_that_holds_no_instruments_says_so(data: bytes | None, text: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if data is not None:
        path.write_bytes(data)
    shown = run(tmp_path / "home", "load", str(path))
    assert text in str(shown.exception) and str(path) in str(shown.exception)


def listed(home: Path, *words: str) -> Sequence[tuple[str, str]]:
    return [(each["symbol"], each["multiplier"]) for each in loaded(run(home, "list", "--json", *words))["instruments"]]


def test_the_list_is_what_holds_at_a_time(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "Nothing is declared" in run(home, "list").stdout
    change = {**INVERSE, "multiplier": 10, "effective": "2024-08-09T00:00:00Z"}
    assert run(home, "load", written(home, SPOT, INVERSE, OPTION, change)).exit_code == 0
    assert listed(home, "--venue", "x") == [("BTCUSDT", "1"), ("BTCUSD_PERP", "10")]
    assert listed(home, "--venue", "x", "--at", str(T0 - 1)) == [("BTCUSDT", "1"), ("BTCUSD_PERP", "100")]
    assert listed(home, "--venue", "none") == []
    (option,) = loaded(run(home, "list", "--json", "--venue", "deribit"))["instruments"]
    assert option == {**facts_of(OPTION).given(), "quantity_unit": "contracts"}


def test_the_list_fits_a_hundred_columns(tmp_path: Path) -> None:
    home = tmp_path / "home"
    long = {**OPTION, "venue": "v" * 32, "symbol": "S" * 64}
    assert (
        run(
            home, "load", written(home, SPOT, INVERSE, OPTION, {**INVERSE, "effective": T0, "tick": "0.1"}, long)
        ).exit_code
        == 0
    )
    shown = run(home, "list").stdout
    assert max(map(len, shown.splitlines())) <= 100, shown
    assert "x:BTCUSD_PERP" in shown and "BTC/USD:BTC" in shown and "100 USD" in shown
    lines = [line.split("  ")[0].strip() for line in shown.replace("\n   ", "\n").splitlines()]
    assert {"since 2024-08-09 00:00:00", "until 2024-12-27 08:00:00", "call 100000 of BTC-USD"} <= {*lines}
