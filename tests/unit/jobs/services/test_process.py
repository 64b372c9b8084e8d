import subprocess
import sys

from jobs.services.process import Process, descendants, running


def test_children_of_children_are_found_whatever_their_session() -> None:
    nap = "import time; time.sleep(60)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {nap!r}], start_new_session=True)"
    with subprocess.Popen(
        [sys.executable, "-c", f"print(flush=True); {child}"], stdout=subprocess.PIPE, start_new_session=True
    ) as started:
        assert started.stdout is not None
        started.stdout.readline()
        parent = running(started.pid)
        assert parent is not None
        found: list[Process] = []
        while not found:
            found = descendants(parent)
        (one,) = found
        parent.kill()
        assert one.is_running(), "it is nobody's child now"
        one.kill()
    assert not one.is_running()
    assert descendants(parent) == []
