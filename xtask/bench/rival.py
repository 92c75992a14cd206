"""One run of another engine: reads Silver, rolls up, writes zstd Parquet; prints one line of JSON.

usage: rival.py ENGINE FORM SILVER_GLOB OUT
FORM is `contract` (docs/sql/) or `native` (native.sql, polars_native.py). The time is that of reading,
computing and writing: interpreter start and imports are not counted.
"""

import json
import resource
import sys
import time
from pathlib import Path
from string import Template

HERE = Path(__file__).resolve().parent
SQL = HERE.parents[1] / "docs" / "sql"
THREADS = 2
RUN_US = 4_000_000_000_000_000


def native(**parts: str) -> str:
    return Template((HERE / "native.sql").read_text()).substitute(run_us=RUN_US, **parts)


def contract(engine: str, silver: str) -> tuple[list[str], str]:
    """The statements of the engine's prelude, and the query."""
    prelude = (SQL / f"{engine}.sql").read_text()
    prelude = prelude.replace("LAKE/silver/ops_host_metrics/date=*/*.parquet", silver)
    prelude = prelude.replace("LAKE/silver/ops_host_metrics/", silver.split("date=")[0])
    lines = [line for line in prelude.splitlines() if not line.lstrip().startswith("--")]
    return [text for text in "\n".join(lines).split(";") if text.strip()], (SQL / "rollup.sql").read_text()


def run_duckdb(form: str, silver: str, out: str):
    import duckdb

    def work():
        connection = duckdb.connect(config={"threads": THREADS})
        connection.execute("SET TimeZone = 'UTC'")
        if form == "contract":
            prelude, query = contract("duckdb", silver)
            for statement in prelude:
                connection.execute(statement)
        else:
            query = native(
                t_us="epoch_us(as_of)",
                silver=f"read_parquet('{silver}', hive_partitioning = false)",
                p95="quantile_cont(cpu_pct, 0.95)",
            )
        connection.execute(f"COPY ({query}) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")

    return duckdb.__version__, work


def run_datafusion(form: str, silver: str, out: str):
    import datafusion

    def work():
        config = datafusion.SessionConfig().with_target_partitions(THREADS)
        config = config.set("datafusion.execution.time_zone", "UTC")
        context = datafusion.SessionContext(config)
        if form == "contract":
            prelude, query = contract("datafusion", silver)
            for statement in prelude:
                context.sql(statement).collect()
        else:
            context.register_parquet("silver", silver.split("date=")[0])
            query = native(
                t_us="arrow_cast(arrow_cast(as_of, 'Timestamp(Microsecond, None)'), 'Int64')",
                silver="silver",
                p95="percentile_cont(0.95) WITHIN GROUP (ORDER BY cpu_pct)",
            )
        context.sql(query).write_parquet(out, compression="zstd", compression_level=3)

    return datafusion.__version__, work


def run_chdb(form: str, silver: str, out: str):
    import chdb

    assert form == "native", "the contract's text is for DuckDB and DataFusion"

    def work():
        query = native(
            t_us="toUnixTimestamp64Micro(as_of)",
            silver=f"file('{silver}', Parquet)",
            p95="quantileExactInclusive(0.95)(cpu_pct)",
        )
        query = f"INSERT INTO FUNCTION file('{out}', Parquet) {query}"
        settings = f"max_threads = {THREADS}, output_format_parquet_compression_method = 'zstd', join_use_nulls = 1"
        chdb.query(f"{query} SETTINGS {settings}")

    return chdb.__version__, work


def run_polars(form: str, silver: str, out: str):
    import os

    os.environ["POLARS_MAX_THREADS"] = str(THREADS)
    import polars

    assert form == "native", "the contract's text is for DuckDB and DataFusion"
    from polars_native import rollup

    def work():
        rollup(silver).sink_parquet(out, compression="zstd", compression_level=3)

    return polars.__version__, work


def main() -> None:
    engine, form, silver, out = sys.argv[1:]
    runners = {"duckdb": run_duckdb, "datafusion": run_datafusion, "chdb": run_chdb, "polars": run_polars}
    version, work = runners[engine](form, silver, out)
    started = time.perf_counter()
    work()
    seconds = time.perf_counter() - started
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    import pyarrow.dataset

    rows = pyarrow.dataset.dataset(out).count_rows()
    print(json.dumps({"version": version, "seconds": seconds, "memory_mb": memory_mb, "rows": rows}))


if __name__ == "__main__":
    main()
