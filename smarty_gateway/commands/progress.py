"""A progress bar on standard error, where that is a terminal."""

import sys
from collections.abc import Generator, Iterator
from typing import Final

#: Bytes. A file is worth a bar from here on; it takes some seconds.
_LARGE: Final = 10_000_000


def with_progress(chunks: Iterator[bytes], size: int, title: str = "") -> Generator[bytes, None, None]:
    """Yield the chunks of a file, and show how much of it was read."""
    if size < _LARGE or not sys.stderr.isatty():
        yield from chunks
        return
    from rich.console import Console  # noqa: PLC0415 - only large files on a terminal need it
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=size)
        for chunk in chunks:
            yield chunk
            progress.advance(task, len(chunk))
