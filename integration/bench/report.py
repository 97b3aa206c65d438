"""The results as a table and as JSON."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from typing import Any

from .service import Measurement

REQUEST_STAGES = {
    "queued": "wait for a worker",
    "frames": "read the prepared frames",
    "encode": "encode frames not encoded yet",
    "model": "model: cameras and depth",
    "cloud": "threshold, align, unproject",
    "glb": "write the GLB",
    "store": "store the result",
}
MODEL_STAGES = ("encode", "model")


@dataclass
class Report:
    """Medians over the runs; times in seconds unless named otherwise."""

    model: str
    threads: int
    runs: int
    frames: int
    processed_size: list[int]
    points: int
    answer_bytes: int
    bare: dict[str, float]
    """Time of the bare model by entry point."""
    bare_total: float
    upload_per_image: float
    """From sending an image to its `ack`: base64, JSON, socket, decode, preprocess, store."""
    request: dict[str, float]
    """From `generate` to the answer, by stage; `rest` is base64, JSON, socket and messaging."""
    request_total: float
    overhead: float
    """Time of a reconstruction without the model, including uploads."""
    overhead_share: float
    """`overhead` relative to the bare model's time."""
    request_overhead_share: float
    """As `overhead_share`, for the request without uploads."""
    ping_count: int
    ping_median_ms: float
    ping_p95_ms: float

    def as_dict(self) -> dict[str, Any]:
        """The values for JSON."""
        return asdict(self)

    def as_table(self) -> str:
        """Format the report as a table."""
        width, height = self.processed_size
        lines = [
            f"{self.frames} photos at {width}x{height}, {self.points} points, {self.model}, "
            f"CPU with {self.threads} threads, medians of {self.runs} runs",
            "",
            f"{'':44}  seconds  of the model",
            self._line("bare model", self.bare_total),
            *(self._line(f"  {name}", seconds) for name, seconds in self.bare.items()),
            self._line("generate to the last byte of the answer", self.request_total),
            *(
                self._line(f"  {words}", self.request[stage])
                for stage, words in REQUEST_STAGES.items()
            ),
            self._line("  base64, JSON, socket and the rest", self.request["rest"]),
            self._line("upload of one image until acknowledged", self.upload_per_image),
            self._line("everything but the model", self.overhead),
            f"  of which in the request: {self.request_overhead_share:.1%} of the model",
            "",
            f"answer of {self.answer_bytes / 1e6:.1f} MB; {self.ping_count} pings while the model "
            f"runs: median {self.ping_median_ms:.1f} ms, p95 {self.ping_p95_ms:.1f} ms",
        ]
        return "\n".join(lines)

    def _line(self, name: str, seconds: float) -> str:
        return f"{name:44} {seconds:8.3f} {seconds / self.bare_total:9.1%}"


def summarize(bare: list[dict[str, float]], served: list[Measurement], threads: int) -> Report:
    """Compute the medians over the runs."""
    last = served[-1].metadata
    frames = last["num_frames"]
    stages = {
        stage: statistics.median(one.metadata["timings"][stage] for one in served)
        for stage in REQUEST_STAGES
    }
    stages["rest"] = statistics.median(
        one.request - sum(one.metadata["timings"][stage] for stage in REQUEST_STAGES)
        for one in served
    )
    request_total = statistics.median(one.request for one in served)
    in_request = statistics.median(
        one.request - sum(one.metadata["timings"][stage] for stage in MODEL_STAGES)
        for one in served
    )
    upload = statistics.median(seconds for one in served for seconds in one.upload)
    bare_total = statistics.median(sum(seconds.values()) for seconds in bare)
    overhead = in_request + frames * upload
    pings = sorted(seconds for one in served for seconds in one.pings)
    return Report(
        model=last["model"],
        threads=threads,
        runs=len(served),
        frames=frames,
        processed_size=last["processed_size"],
        points=last["num_points"],
        answer_bytes=served[-1].answer_bytes,
        bare={name: statistics.median(one[name] for one in bare) for name in bare[0]},
        bare_total=bare_total,
        upload_per_image=upload,
        request=stages,
        request_total=request_total,
        overhead=overhead,
        overhead_share=overhead / bare_total,
        request_overhead_share=in_request / bare_total,
        ping_count=len(pings),
        ping_median_ms=1000 * statistics.median(pings),
        ping_p95_ms=1000 * pings[int(0.95 * (len(pings) - 1))],
    )
