"""A stage that reads only what is new: what it reads, and how the watermark goes on when that is loaded.

    begin -> (nothing) | plan -> claim -> [the load commits] -> advance

`plan` is the end of a stage that only reads; a load plans and claims before it commits, and advances after it.
"""

from contextlib import ExitStack
from typing import Any

from batchctl_etl.config.rows import FileRows, RowSource
from batchctl_etl.config.watermark import AnyWatermark, ColumnWatermark, FilesWatermark, RunWatermark
from batchctl_etl.console import story
from batchctl_etl.errors import WorkFailed
from batchctl_etl.identity import Origin
from batchctl_etl.readers.source import FileInput, RowInput
from batchctl_etl.report import Report
from batchctl_etl.stages.newer import newest, rows_of
from batchctl_etl.state.changing import change_document
from batchctl_etl.state.watermark import (
    Batch,
    Claim,
    Kind,
    Plan,
    Watermark,
    advanced,
    as_content,
    check_generation,
    check_kind,
    claimed,
    etag_plan,
    fixed_batch,
    planned,
    read_watermark,
)
from batchctl_etl.storage.documents import Document, read_document
from batchctl_etl.storage.opening import matching_now

BY_HAND = "by hand"
"""The run of a stage that no run of batchctl called."""


def watermark_of(config: AnyWatermark, source: RowSource) -> str:
    """What the watermark is of, so that it is not taken for another source's: the column, or the files' URL."""
    return config.column if isinstance(config, ColumnWatermark) else str(getattr(source, "url", ""))


class Progress:
    """The watermark of one source, seen from one stage. Every verb raises `WorkFailed`."""

    def __init__(self, config: AnyWatermark, origin: Origin, *, load_id: str, of: str) -> None:
        """`of`: the column, or the URL, that the watermark is of."""
        self.config = config
        self._url = config.state
        self._of = of
        self._run = origin.run
        self._load_id = load_id
        self._plan: Plan | None = None
        self._claim: Claim | None = None
        self.again = False
        self.before: Watermark = self._begun()

    def _begun(self) -> Watermark:
        found = read_watermark(read_document(self._url).content, url=self._url)
        if isinstance(self.config, RunWatermark):
            return self._with_plan_of_run(found)
        kind = Kind(self.config.type)
        if found is None:
            return Watermark(kind=kind, of=self._of)
        check_kind(found, kind, self._of, url=self._url)
        if fixed := fixed_batch(found, self._run):
            self._plan, self.again = fixed.plan, fixed.again
            if fixed.plan.load_id and not fixed.again:
                story(
                    f"{self._url}: first what {fixed.plan.load_id} began to load; newer rows come with the next run"
                )
        return found

    def _with_plan_of_run(self, found: Watermark | None) -> Watermark:
        run = self._run or BY_HAND
        if found is not None and run in found.plans:
            self._plan = found.plans[run]
            return found
        if found is not None and self._run is not None and found.last and found.last.run == self._run:
            self._plan, self.again = Plan(batch=found.last.batch, load_id=found.last.load_id), True
            return found
        what = f"run {run} has read nothing for it" + (
            ", or another run has advanced it since" if found else ""
        )
        raise WorkFailed(self._url, what, "run the pipeline again, from the stage that reads")

    @property
    def batch(self) -> Batch:
        """What is read."""
        assert self._plan is not None
        return self._plan.batch

    @property
    def load_id(self) -> str:
        """What the batch is loaded as, known when it is claimed."""
        return self._claim.load_id if self._claim else (self._plan and self._plan.load_id) or self._load_id

    def choose_rows(self, source: RowSource) -> None:
        """Decide what of a source of rows is new, unless that was decided before."""
        if self._plan is not None:
            return
        if isinstance(self.config, ColumnWatermark):
            column, after = self.config.column, self.after
            until = newest(source, column, after=after, inclusive=self.config.inclusive)
            batch = Batch(after=after, until=until or after, is_empty=until is None)
        else:
            assert isinstance(source, FileRows)
            batch = self._new_files(source.url)
        self._plan = Plan(batch=batch)

    @property
    def after(self) -> str | None:
        """The value that what is new comes after."""
        assert isinstance(self.config, ColumnWatermark)
        return self.config.first if self.before.value is None else str(self.before.value)

    @property
    def fixed(self) -> Batch | None:
        """What is read, if that was decided before."""
        return self._plan.batch if self._plan is not None else None

    def choose_until(self, until: str | None) -> None:
        """The greatest value of the rows that were read, unless that was decided before; `None`: there were none."""
        if self._plan is None:
            self._plan = Plan(
                batch=Batch(after=self.after, until=until or self.after, is_empty=until is None)
            )

    def choose_files(self, url: str) -> None:
        """Decide which files of a pattern are new, unless that was decided before."""
        if self._plan is None:
            self._plan = Plan(batch=self._new_files(url))

    def _new_files(self, url: str) -> Batch:
        seen = set(self.before.value or ())
        files = tuple(name for name in matching_now(url) if name not in seen)
        return Batch(files=files, is_empty=not files)

    def choose_version(self, validators: dict[str, str] | None) -> None:
        """What a server has now; `None`: nothing has changed."""
        self._plan = etag_plan(self.before, Batch(validators=validators or {}, is_empty=validators is None))

    def rows(self, source: RowSource, stack: ExitStack) -> RowInput:
        """The rows of the batch; what is opened is closed with `stack`."""
        if isinstance(self.config, FilesWatermark):
            assert isinstance(source, FileRows)
            return FileInput(source, stack, urls=self.batch.files)
        assert isinstance(self.config, ColumnWatermark)
        return rows_of(source, self.config.column, self.batch, inclusive=self.config.inclusive, stack=stack)

    def plan(self) -> None:
        """Keep what was read for the load of this run."""
        plan, run = self._plan, self._run or BY_HAND
        assert plan is not None
        if self.again:
            return

        def changed(found: Document) -> tuple[Any, None]:
            state = self._state(found)
            check_generation(state, self.before.generation, url=self._url)
            return as_content(planned(state, run, plan)), None

        change_document(self._url, changed)

    def claim(self) -> None:
        """Say that this run loads the batch, unless another does: from now on it is this batch that comes next."""
        plan, run = self._plan, self._run or BY_HAND
        assert plan is not None
        if self.again:
            return

        def changed(found: Document) -> tuple[Any, Claim]:
            state = self._state(found)
            after = claimed(
                state, plan, generation=self.before.generation, run=run, load_id=self._load_id, url=self._url
            )
            assert after.claim is not None
            return (None if after == state else as_content(after)), after.claim

        self._claim = change_document(self._url, changed)

    def advance(self) -> None:
        """The batch is committed: the next run begins after it. An empty one changes nothing."""
        claim = self._claim
        if self.again or claim is None:
            return

        def changed(found: Document) -> tuple[Any, None]:
            after = advanced(self._state(found), claim, generation=self.before.generation, url=self._url)
            return (None if after is None else as_content(after)), None

        change_document(self._url, changed)

    def _state(self, found: Document) -> Watermark:
        state = read_watermark(found.content, url=self._url)
        return state or Watermark(kind=self.before.kind, of=self.before.of)

    def told(self) -> dict[str, Any]:
        """For the run's record."""
        kind, batch = self.before.kind, self.batch
        what: dict[str, Any] = {"state": self._url, "kind": kind.value, "generation": self.before.generation}
        if kind is Kind.COLUMN:
            what |= {"after": batch.after, "until": batch.until}
        elif kind is Kind.FILES:
            what |= {"files": len(batch.files)}
        else:
            what |= batch.validators
        return {"watermark": what} | ({"nothing_new": True} if batch.is_empty else {})

    def nothing(self) -> Report:
        """The report of a stage that had nothing to do."""
        story(f"{self._url}: nothing is new")
        return Report(rows_read=0, rows_written=0, extra=self.told())
