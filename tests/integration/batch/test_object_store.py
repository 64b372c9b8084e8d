"""The whole way on an object store: registry, input, table, trail and run records behind the S3 protocol."""

from pathlib import Path

import pytest
from pyarrow import fs

from jobs.batch.audit.reproduce import reproduce
from jobs.batch.audit.verify import verify
from jobs.batch.request import BatchRequest
from jobs.batch.run import BatchRun, open_registry
from jobs.batch.spark.engine import SparkEngine
from jobs.progress import SilentProgress
from scoretrail import config
from scoretrail.clock import SystemClock
from scoretrail.storage import filesystem
from scoretrail.table import OutputTable
from tests.factory.s3_server import S3Server
from tests.factory.workshop import CHAMPION, Workshop, bits_by_key

pytestmark = [pytest.mark.integration, pytest.mark.s3]


def upload(folder: Path, uri: str, server: S3Server) -> None:
    place, base = filesystem(uri, server.options)
    fs.copy_files(str(folder), base, source_filesystem=fs.LocalFileSystem(), destination_filesystem=place)


def test_a_run_on_an_object_store_equals_one_on_disk(shop: Workshop, engine: SparkEngine, s3_server: S3Server) -> None:
    shop.write_days(("2013-12-01", "2013-12-02"), rows=50)
    shop.score()
    lake = s3_server.make_bucket("lake")
    upload(shop.input, f"{lake}/flights", s3_server)
    upload(shop.registry, f"{lake}/registry", s3_server)
    options = {f"storage.options.{key}": value for key, value in s3_server.options.items()}
    resolved = config.load({"registry.uri": f"{lake}/registry", **options})

    def request(**changes: str) -> BatchRequest:
        return BatchRequest(model=CHAMPION, input=f"{lake}/flights", output=f"{lake}/scored", **changes)  # type: ignore[arg-type]

    def run() -> BatchRun:
        return BatchRun(request(), resolved, engine, SilentProgress())

    first = run().score()
    assert (first.status, first.rows["scored"]) == ("published", 100)
    assert run().score().status == "unchanged"
    table = OutputTable(f"{lake}/scored", s3_server.options)
    assert bits_by_key(table.to_pyarrow_dataset().to_table()) == bits_by_key(shop.rows())

    registry, settings = open_registry(resolved.settings), resolved.settings
    again = reproduce(table, first.run_id, registry, settings, SilentProgress())
    assert (again.rows, again.equal, again.different, again.expired) == (100, 100, 0, [])
    verified = verify(table, first.run_id, registry, settings, SystemClock(), SilentProgress())
    assert (verified.different, verified.checked["outputs"], verified.checked["inputs"]) == (0, 2, 2)

    # The control: an input that is replaced is found.
    place, base = filesystem(f"{lake}/flights", s3_server.options)
    victim = next(info.path for info in place.get_file_info(fs.FileSelector(base, recursive=True)) if info.is_file)
    with place.open_output_stream(victim) as stream:
        stream.write(b"another file")
    assert verify(table, first.run_id, registry, settings, SystemClock(), SilentProgress()).different == 1
