"""The tables. Documents are JSON; everything the scheduler asks for is an indexed column beside them.

Task counts are kept by triggers, so that no code path can forget them and reading them is one row.
"""

VERSION = 2

TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE pools (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
  changing INTEGER NOT NULL, owner TEXT, doc BLOB NOT NULL,
  resize_wake TEXT, scale_wake TEXT, eager_after TEXT);
CREATE INDEX pools_resize ON pools(seq) WHERE resize_wake IS NOT NULL;
CREATE INDEX pools_scale ON pools(seq) WHERE scale_wake IS NOT NULL;
CREATE INDEX pools_changing ON pools(seq) WHERE changing;
CREATE INDEX pools_owner ON pools(owner) WHERE owner IS NOT NULL;

CREATE TABLE nodes (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, pool INTEGER NOT NULL,
  state TEXT NOT NULL, dedicated INTEGER NOT NULL, open INTEGER NOT NULL, doc BLOB NOT NULL,
  slots INTEGER NOT NULL, cores INTEGER NOT NULL DEFAULT 1, changing INTEGER NOT NULL DEFAULT 0, wake TEXT,
  free INTEGER NOT NULL DEFAULT 0, total_run INTEGER NOT NULL DEFAULT 0, total_ok INTEGER NOT NULL DEFAULT 0);
CREATE INDEX nodes_pool ON nodes(pool, seq);
CREATE INDEX nodes_running ON nodes(seq) WHERE state = 'running';
CREATE INDEX nodes_changing ON nodes(seq) WHERE changing;
CREATE INDEX nodes_wake ON nodes(seq) WHERE wake IS NOT NULL;
CREATE INDEX nodes_room ON nodes(pool, free) WHERE open AND free > 0;

CREATE TABLE samples (
  pool INTEGER NOT NULL, at TEXT NOT NULL, doc BLOB NOT NULL, PRIMARY KEY (pool, at)) WITHOUT ROWID;

CREATE TABLE node_lives (
  seq INTEGER PRIMARY KEY, pool INTEGER NOT NULL, name TEXT NOT NULL, size TEXT NOT NULL, cores INTEGER NOT NULL,
  dedicated INTEGER NOT NULL, began TEXT NOT NULL, ended TEXT NOT NULL);
CREATE INDEX node_lives_pool ON node_lives(pool);
CREATE INDEX node_lives_ended ON node_lives(ended);

CREATE TABLE schedules (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
  wake TEXT, doc BLOB NOT NULL);
CREATE INDEX schedules_wake ON schedules(wake) WHERE wake IS NOT NULL;

CREATE TABLE jobs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
  schedule INTEGER, pool TEXT, priority INTEGER NOT NULL, ending INTEGER NOT NULL,
  auto_end INTEGER NOT NULL, deadline TEXT, parallel INTEGER NOT NULL, doc BLOB NOT NULL);
CREATE INDEX jobs_schedule ON jobs(schedule, seq) WHERE schedule IS NOT NULL;
CREATE INDEX jobs_schedule_live ON jobs(schedule, seq) WHERE state NOT IN ('completed', 'deleting');
CREATE INDEX jobs_pool ON jobs(pool, seq) WHERE state = 'active';
CREATE INDEX jobs_live ON jobs(seq) WHERE state <> 'completed';
CREATE INDEX jobs_ending ON jobs(seq) WHERE ending;
CREATE INDEX jobs_auto_end ON jobs(seq) WHERE auto_end;
CREATE INDEX jobs_deadline ON jobs(deadline) WHERE deadline IS NOT NULL;

CREATE TABLE job_counts (
  job INTEGER PRIMARY KEY, ready INTEGER NOT NULL DEFAULT 0,
  active INTEGER NOT NULL DEFAULT 0, running INTEGER NOT NULL DEFAULT 0,
  succeeded INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
  active_slots INTEGER NOT NULL DEFAULT 0, running_slots INTEGER NOT NULL DEFAULT 0,
  succeeded_slots INTEGER NOT NULL DEFAULT 0, failed_slots INTEGER NOT NULL DEFAULT 0);
CREATE INDEX job_counts_ready ON job_counts(job) WHERE ready > 0;

CREATE TABLE tasks (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, job INTEGER NOT NULL, key TEXT NOT NULL, number INTEGER,
  state TEXT NOT NULL, rank INTEGER NOT NULL, slots INTEGER NOT NULL, unmet INTEGER NOT NULL,
  result TEXT, satisfied INTEGER NOT NULL DEFAULT 0,
  etag TEXT NOT NULL, created TEXT NOT NULL, modified TEXT NOT NULL,
  changed TEXT NOT NULL, previous TEXT, previous_changed TEXT,
  node INTEGER, place BLOB, execution BLOB, doc BLOB NOT NULL, expires TEXT, usage BLOB, UNIQUE (job, key));
CREATE INDEX tasks_listed ON tasks(job, seq);
CREATE INDEX tasks_by_state ON tasks(job, state, seq);
CREATE INDEX tasks_ready ON tasks(job, rank, seq, slots) WHERE state = 'active' AND unmet = 0;
CREATE INDEX tasks_number ON tasks(job, number) WHERE number IS NOT NULL;
CREATE INDEX tasks_node ON tasks(node, seq) WHERE node IS NOT NULL;
CREATE INDEX tasks_expires ON tasks(expires) WHERE expires IS NOT NULL;

CREATE TABLE edges (
  job INTEGER NOT NULL, target TEXT NOT NULL, task INTEGER NOT NULL,
  PRIMARY KEY (job, target, task)) WITHOUT ROWID;
CREATE INDEX edges_task ON edges(task);
CREATE TABLE ranges (
  seq INTEGER PRIMARY KEY, job INTEGER NOT NULL, low INTEGER NOT NULL, high INTEGER NOT NULL,
  remaining INTEGER NOT NULL, UNIQUE (job, low, high));
CREATE TABLE range_waiters (
  range INTEGER NOT NULL, task INTEGER NOT NULL, PRIMARY KEY (range, task)) WITHOUT ROWID;
CREATE INDEX range_waiters_task ON range_waiters(task);

CREATE TABLE runs (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, node INTEGER NOT NULL, job INTEGER, task INTEGER,
  slots INTEGER NOT NULL, exclusive INTEGER NOT NULL, folder TEXT NOT NULL,
  pid INTEGER, born TEXT, deadline TEXT, killing TEXT, told INTEGER NOT NULL DEFAULT 0,
  waiting INTEGER NOT NULL DEFAULT 0);
CREATE INDEX runs_waiting ON runs(job, node) WHERE waiting;
CREATE INDEX runs_job ON runs(job) WHERE job IS NOT NULL;
CREATE INDEX runs_node ON runs(node);
CREATE INDEX runs_task ON runs(task) WHERE task IS NOT NULL;
CREATE INDEX runs_deadline ON runs(deadline) WHERE deadline IS NOT NULL AND killing IS NULL;
CREATE INDEX runs_untold ON runs(seq) WHERE killing IS NOT NULL AND told = 0;

CREATE TABLE preparations (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, job INTEGER NOT NULL, node INTEGER NOT NULL,
  standing TEXT NOT NULL, released INTEGER NOT NULL DEFAULT 0, doc BLOB NOT NULL, UNIQUE (job, node));

CREATE TABLE job_usage (
  job INTEGER PRIMARY KEY, wall INTEGER NOT NULL DEFAULT 0, user INTEGER NOT NULL DEFAULT 0,
  kernel INTEGER NOT NULL DEFAULT 0, wait INTEGER NOT NULL DEFAULT 0, retries INTEGER NOT NULL DEFAULT 0);

CREATE TABLE chores (seq INTEGER PRIMARY KEY, folder TEXT NOT NULL, everywhere INTEGER NOT NULL);

CREATE TABLE chaos (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, rule TEXT NOT NULL,
  seen INTEGER NOT NULL DEFAULT 0, struck INTEGER NOT NULL DEFAULT 0);
"""


def _counted(*changes: tuple[str, str]) -> str:
    """The statement that adds (`+`) or takes away (`-`) task rows in their job's counts."""
    conditions = {
        "active": "({row}.state = 'active')",
        "running": "({row}.state IN ('running', 'preparing'))",
        "succeeded": "({row}.state = 'completed' AND {row}.result = 'success')",
        "failed": "({row}.state = 'completed' AND {row}.result = 'failure')",
    }
    counts = {"ready": "({row}.state = 'active' AND {row}.unmet = 0)"} | conditions
    counts |= {f"{name}_slots": f"{{row}}.slots * {condition}" for name, condition in conditions.items()}
    parts = []
    for name, count in counts.items():
        parts.append(
            f"{name} = {name} " + " ".join(f"{sign} {count.format(row=row)}" for row, sign in changes)
        )
    return f"UPDATE job_counts SET {', '.join(parts)} WHERE job = {changes[0][0]}.job;"


TRIGGERS = f"""
CREATE TRIGGER tasks_added AFTER INSERT ON tasks BEGIN {_counted(("NEW", "+"))} END;
CREATE TRIGGER tasks_removed AFTER DELETE ON tasks BEGIN
  {_counted(("OLD", "-"))}
  DELETE FROM edges WHERE task = OLD.seq; DELETE FROM range_waiters WHERE task = OLD.seq;
END;
CREATE TRIGGER tasks_changed AFTER UPDATE OF state, result, unmet ON tasks BEGIN
  {_counted(("OLD", "-"), ("NEW", "+"))}
END;
CREATE TRIGGER pools_removed AFTER DELETE ON pools BEGIN DELETE FROM samples WHERE pool = OLD.seq; END;
CREATE TRIGGER jobs_added AFTER INSERT ON jobs BEGIN INSERT INTO job_counts (job) VALUES (NEW.seq); END;
CREATE TRIGGER jobs_removed AFTER DELETE ON jobs BEGIN
  DELETE FROM job_counts WHERE job = OLD.seq; DELETE FROM job_usage WHERE job = OLD.seq;
  DELETE FROM preparations WHERE job = OLD.seq; DELETE FROM ranges WHERE job = OLD.seq;
END;
"""
