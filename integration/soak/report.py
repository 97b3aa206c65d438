"""The figures of a soak as text, and what is wrong with them."""

from __future__ import annotations

from .tally import Tally
from .watch import Watch, unexpected_errors

MEBIBYTE = 1 << 20


def table(watch: Watch, tally: Tally, begin: float, end: float) -> str:
    """Medians of a part of the time, and what has happened so far."""
    figures = watch.medians(begin, end)
    if not figures:
        return f"{end / 60:.0f} min: no figures"
    errors = unexpected_errors(watch.metrics)
    return (
        f"{end / 60:4.0f} min: {figures['resident'] / MEBIBYTE:.0f} MiB resident "
        f"({figures['anonymous'] / MEBIBYTE:.0f} anonymous), "
        f"{figures['open_files']:.0f} open files, {figures['threads']:.0f} threads, "
        f"{figures['actors']:.0f} actors, {figures['sessions']:.0f} sessions, "
        f"{figures['websockets']:.0f} sockets, {figures['data_files']:.0f} data files | "
        f"{sum(tally.done.values())} rounds, {sum(tally.sent.values())} messages, "
        f"{sum(tally.unanswered.values())} unanswered, "
        f"{sum(tally.unexpected.values())} unexpected, errors of other kinds: {errors or 'none'}"
    )


def verdict(watch: Watch, tally: Tally, seconds: float) -> list[str]:
    """All that is wrong, in sentences."""
    rounds = ", ".join(f"{count} of {name}" for name, count in sorted(tally.done.items()))
    messages = ", ".join(
        f"{count} {kind} ({tally.answered[kind]} answered)" for kind, count in tally.sent.items()
    )
    print(f"\nrounds: {rounds}\nmessages: {messages}")
    early = watch.medians(seconds / 6, seconds / 3)
    late = watch.medians(seconds * 5 / 6, seconds)
    for name in early:
        print(f"{name:12} second sixth {early[name]:14.0f}, last sixth {late[name]:14.0f}")
    wrong = watch.growth(seconds) if early and late else ["too few figures: let it run longer"]
    wrong += [
        f"{count} messages without an answer: {kind}" for kind, count in tally.unanswered.items()
    ]
    wrong += [f"{count} times {kind}" for kind, count in tally.unexpected.items()]
    return wrong
