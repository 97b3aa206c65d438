"""Ends a call of an entry point from outside, since nothing else can interrupt TorchScript."""

from torch import Tensor


def check(stop: Tensor | None) -> None:
    """Fail if the flag, uint8 [1] on the CPU, is no longer 0. Loops whose rounds take long call it
    in each.

    Raises:
        RuntimeError: if the flag is set.
    """
    if stop is not None and int(stop) != 0:
        raise RuntimeError("stopped")
