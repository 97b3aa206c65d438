"""The GPU script runs on a machine without a GPU and reports the checks it skipped."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_tiny_run_on_the_cpu_writes_its_results(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "integration.gpu", "--device", "cpu"]
    subprocess.run([*command, "--tiny", "--output", str(tmp_path)], cwd=ROOT, check=True)
    results = json.loads((tmp_path / "processor.json").read_text())
    passed = {row["check"]: row["passed"] for row in results["checks"]}
    assert passed["small with a backbone in fp32 and heads in fp32 is near fp32"] is True
    assert passed["attention of small is fused"] is None
    assert [row["frames"] for row in results["throughput"]] == [1, 2, 4]
    assert all(row["frames_per_second"] > 0 for row in results["throughput"])
    assert [row["frames_in_a_call"] for row in results["launches"]] == [1, 2]
    table = (tmp_path / "processor.md").read_text()
    assert "| two workers share the device | not run | no --server was given |" in table
