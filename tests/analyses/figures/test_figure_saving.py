import struct
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from analyses.figures import registry
from analyses.figures.saving import DOTS_PER_INCH, save
from tracekit.errors import ConfigurationError
from tracekit.protocols import FigureKind
from tracekit.testing import synthetic_trace

FORMATS = ("png", "pdf", "svg")


def a_figure(kind: FigureKind = registry.SIMILARITY_WEIGHTS) -> Figure:
    return kind.draw(kind.build({"cyclic": synthetic_trace()}).compute())


def test_files_are_what_their_names_say(tmp_path: Path) -> None:
    figure = a_figure()
    png, pdf, svg = save(figure, tmp_path, "similarity", FORMATS)
    assert [path.name for path in (png, pdf, svg)] == ["similarity.png", "similarity.pdf", "similarity.svg"]
    assert png.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    size = struct.unpack(">II", png.read_bytes()[16:24])
    assert size == pytest.approx(figure.get_size_inches() * DOTS_PER_INCH, abs=1)
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert pdf.read_bytes().rstrip().endswith(b"%%EOF")
    assert ET.parse(svg).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_png_and_pdf_are_the_default(tmp_path: Path) -> None:
    assert [path.suffix for path in save(Figure(), tmp_path, "figure")] == [".png", ".pdf"]


@pytest.mark.parametrize("kind", [registry.RECOVERY, registry.SIMILARITY_WEIGHTS, registry.TRAJECTORY])
def test_the_same_figure_gives_the_same_bytes(tmp_path: Path, kind: FigureKind) -> None:
    first = save(a_figure(kind), tmp_path / "first", "figure", FORMATS)
    second = save(a_figure(kind), tmp_path / "second", "figure", FORMATS)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_folders_are_made(tmp_path: Path) -> None:
    (path,) = save(Figure(), tmp_path / "a" / "b", "figure", ("png",))
    assert path == tmp_path / "a" / "b" / "figure.png"


def test_an_older_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "figure.png").write_bytes(b"old")
    save(Figure(), tmp_path, "figure", ("png",))
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


class FailingFigure(Figure):
    def savefig(self, fname: object, **_: object) -> None:
        Path(str(fname)).write_bytes(b"half a file")
        raise OSError("no space left on device")


def test_a_failed_save_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "figure.png").write_bytes(b"old")
    with pytest.raises(OSError, match="no space"):
        save(FailingFigure(), tmp_path, "figure", ("png",))
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]
    assert (tmp_path / "figure.png").read_bytes() == b"old"


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"saved as png, pdf, svg, not 'pgn' \(did you mean 'png'\?\)"
    ):
        save(Figure(), tmp_path, "figure", ("png", "pgn"))
    assert list(tmp_path.iterdir()) == []


def test_a_format_like_no_other_gets_no_guess(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not 'bitmap'; choose"):
        save(Figure(), tmp_path, "figure", ("bitmap",))
