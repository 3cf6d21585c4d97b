"""Pictures come from folders, lists, arrays and columns; whatever a file holds, opening it works or is our error."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flame import read_data
from flame.data import DataBatch, refuse_one_class
from flame.errors import DataError, MissingExtraError
from flame.picture.pictures import header_fault, open_picture, picture_size

Image = pytest.importorskip("PIL.Image", reason="pictures need Pillow: pip install 'flame-hypernet[vision]'")

RED, BLUE = (200, 10, 10), (10, 10, 200)


def plain(colour: tuple[int, ...] = RED, size: tuple[int, int] = (8, 6), mode: str = "RGB") -> Any:
    return Image.new(mode, size, colour)


def encoded(form: str = "PNG", picture: Any = None, **options: Any) -> bytes:
    stream = io.BytesIO()
    (picture or plain()).save(stream, form, **options)
    return stream.getvalue()


def put(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        plain().save(path)
    return folder


def array(n: int | None = None) -> np.ndarray:
    return np.zeros((6, 8, 3) if n is None else (n, 6, 8, 3), dtype="uint8")


def cells_of(batch: DataBatch) -> list[Any]:
    assert batch.modality == "image"
    assert [(c.name, c.kind, c.n_missing) for c in batch.columns] == [("image", "image", 0)]
    return batch.features["image"].tolist()


def labels_of(batch: DataBatch) -> list[Any]:
    assert batch.labels is not None
    return batch.labels.tolist()


def refused(data: Any, why: str, **options: Any) -> None:
    with pytest.raises(DataError, match=why):
        read_data(data, **options)


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is and holds next to nothing."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IDAT" + zlib.compress(b"\0")
    parts = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (chunk, body, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


# --- folders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_text", [False, True])
def test_a_folder_of_classes_is_labelled_by_the_names_of_its_folders_in_sorted_order(tmp_path, as_text):
    put(tmp_path, "dog/2.png", "dog/10.JPG", "cat/b.bmp", "cat/.hidden.png", ".cache/x.png", "__MACOSX/y.png")
    batch = read_data(str(tmp_path) if as_text else tmp_path)
    assert [Path(p).relative_to(tmp_path).as_posix() for p in cells_of(batch)] == [
        "cat/b.bmp",
        "dog/10.JPG",
        "dog/2.png",
    ]
    assert (labels_of(batch), batch.target, batch.label_values) == (["cat", "dog", "dog"], "class", ("cat", "dog"))
    assert batch.notes == ()


def test_a_flat_folder_is_unlabelled_and_other_files_are_noted(tmp_path):
    put(tmp_path, "2.png", "1.gif")
    (tmp_path / "README.txt").write_text("about")
    batch = read_data(tmp_path)
    assert cells_of(batch) == [str(tmp_path / "1.gif"), str(tmp_path / "2.png")]
    assert batch.labels is None
    assert batch.notes == ("1 file(s) without the suffix of a picture are not read: 'README.txt'",)


def test_labels_given_beside_a_folder_outrank_the_names_of_its_folders(tmp_path):
    put(tmp_path, "a/1.png", "b/1.png")
    batch = read_data((tmp_path, [7, 8]))
    assert labels_of(batch) == [7, 8]
    assert "the labels that were given are used, not the names of the folders" in batch.notes


def test_a_folder_nested_deeper_is_refused_and_the_advice_helps(tmp_path):
    put(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/cat/2.png")
    refused(tmp_path, "one folder per class .*, however 'test' holds the folder 'cat'; give a folder one level down")
    assert read_data(tmp_path / "train").label_values == ("cat", "dog")


def test_pictures_beside_folders_of_classes_are_refused(tmp_path):
    refused(put(tmp_path, "cat/1.png", "stray.png"), "there are both: 'stray.png' beside the folder 'cat'")


@pytest.mark.parametrize("names", [(), ("notes.txt",), ("cat/notes.txt",)])
def test_a_folder_without_pictures_is_refused(tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("words")
    refused(tmp_path, r"is a folder; a table is expected, or a folder of pictures, however it holds none \(.jpg")


def test_an_empty_class_is_noted_and_one_class_alone_is_refused_later(tmp_path):
    put(tmp_path, "cat/1.png", "cat/2.png")
    (tmp_path / "dog").mkdir()
    batch = read_data(tmp_path)
    assert batch.notes == ("the folder 'dog' holds no picture; no class is made of it",)
    with pytest.raises(DataError, match=r"every picture is of class 'cat', such as 'cat/1\.png'; give at least two"):
        refuse_one_class(batch)


# --- lists, arrays and columns ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda _: [plain(), plain(BLUE)],
        lambda _: [array(), array()],
        lambda _: array(2),
        lambda _: np.zeros((2, 28, 28), dtype="uint8"),
        lambda _: [np.zeros((5, 4), dtype="uint8"), array()],
        lambda folder: [folder / "1.png", folder / "2.png"],
        lambda folder: [str(folder / "1.png"), str(folder / "2.png")],
        lambda _: pd.DataFrame({"photo": [plain(), plain(BLUE)]}),
        lambda _: {"photo": [array(), array()], "idx": [0, 1]},
        lambda _: [{"image": plain()}, {"image": plain(BLUE)}],
        lambda folder: pd.DataFrame({"file": [str(folder / "1.png"), str(folder / "2.png")]}),
    ],
)
def test_every_form_of_pictures_is_read_with_and_without_labels(tmp_path, make):
    data = make(put(tmp_path, "1.png", "2.png"))
    assert len(cells_of(read_data(data))) == 2
    batch = read_data((data, ["a", "b"]))
    assert labels_of(batch) == ["a", "b"]
    for cell in cells_of(batch):
        assert open_picture(cell).mode == "RGB"


def test_columns_of_bytes_and_paths_as_in_hugging_face_sets_are_read(tmp_path):
    class Foreign:
        def to_pandas(self) -> pd.DataFrame:
            cells = [{"bytes": encoded(), "path": None}, {"bytes": None, "path": str(tmp_path / "1.png")}]
            cells.append({"bytes": b"junk", "path": "c.png"})
            return pd.DataFrame({"image": cells, "image_file_path": ["a.png", "b.png", "c.png"], "label": [0, 1, 1]})

    put(tmp_path, "1.png")
    batch = read_data(Foreign())
    assert [open_picture(c).size for c in cells_of(batch)] == [(8, 6), (8, 6)]
    assert labels_of(batch) == [0, 1]
    assert "column(s) 'image_file_path' left out: they only number or name the pictures" in batch.notes
    assert "1 picture(s) cannot be read and are left out: 'c.png' (it is no picture of a known format" in str(
        batch.notes
    )


def test_paths_in_a_csv_start_at_its_folder_then_at_the_working_folder(tmp_path, monkeypatch):
    put(tmp_path, "set/in/1.png", "here/2.png")
    (tmp_path / "set" / "list.csv").write_text("file,label\nin/1.png,a\n2.png,b\ngone.png,a\n")
    monkeypatch.chdir(tmp_path / "here")
    batch = read_data(tmp_path / "set" / "list.csv")
    assert cells_of(batch) == [str(tmp_path / "set" / "in" / "1.png"), "2.png"]
    assert labels_of(batch) == ["a", "b"]
    assert batch.notes[-1] == "1 picture(s) cannot be read and are left out: 'gone.png' (there is no such file)"


def test_names_of_files_beside_other_columns_stay_a_table():
    assert read_data(pd.DataFrame({"file": ["a.png", "b.png"], "size": [1.5, 2.5]})).modality == "table"


def test_pictures_beside_other_columns_are_refused_and_the_advice_helps():
    frame = pd.DataFrame({"image": [plain(), plain()], "size": [1.5, 2.5], "kind": ["a", "b"]})
    refused(frame, r"'image' holds pictures; .* beside it there are columns 'size', 'kind'.*modality='image'")
    batch = read_data(frame, target="kind", modality="image")
    assert (len(cells_of(batch)), labels_of(batch)) == (2, ["a", "b"])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (
            np.zeros((6, 8, 3), dtype="uint8"),
            r"pictures are expected .*however: shape \(6, 8, 3\); .* a list: \[array\]",
        ),
        (
            np.zeros((2, 6, 8, 3)),
            r"none of the 2 can be read: .*uint8 .*however: float64 \(6, 8, 3\); scale it to 0..255",
        ),
        (np.zeros((2, 3, 6, 8), dtype="uint8"), r"however: uint8 \(3, 6, 8\)"),
        (["gone.png", "away.jpg"], r"none of the 2 can be read: 'gone.png' \(there is no such file\), 'away.jpg'"),
        (["http://127.0.0.1/a.png"], "there is no such file"),
    ],
)
def test_what_is_no_picture_is_refused(data, why):
    refused(data, why)


def test_broken_files_are_left_out_with_a_note_that_names_three_and_counts_all(tmp_path):
    put(tmp_path, "a/good.png", "b/good.jpg")
    (tmp_path / "a" / "1.jpg").write_text("a text, not a picture")
    (tmp_path / "a" / "2.png").write_bytes(encoded()[:12])
    (tmp_path / "b" / "3.png").write_bytes(b"")
    (tmp_path / "b" / "4.jpg").write_bytes(encoded("JPEG")[:30])
    batch = read_data(tmp_path)
    assert labels_of(batch) == ["a", "b"]
    (note,) = batch.notes
    assert note.startswith("4 picture(s) cannot be read and are left out: ")
    assert [name in note for name in ("1.jpg", "2.png", "3.png", "4.jpg")] == [True, True, True, False]
    assert note.endswith(", ...")
    assert str(tmp_path) not in note


def test_reading_decodes_no_picture(tmp_path):
    whole = encoded("PNG", Image.effect_noise((64, 64), 50))
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    batch = read_data(tmp_path)
    assert len(batch) == 1
    with pytest.raises(DataError, match=r"a picture cannot be read: '.*cut.png': "):
        open_picture(cells_of(batch)[0])


def test_no_file_stays_open_after_reading_and_opening(tmp_path):
    put(tmp_path, "1.png", "2.jpg", "3.gif", "4.tif")
    (tmp_path / "5.jpg").write_bytes(encoded("JPEG")[:40])
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("open files are counted in /proc")
    before = len(os.listdir("/proc/self/fd"))
    for cell in cells_of(read_data(tmp_path)):
        open_picture(cell)
    assert len(os.listdir("/proc/self/fd")) == before


def test_without_pillow_the_message_says_what_to_install(tmp_path, monkeypatch):
    put(tmp_path, "1.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"Pictures need .*pip install 'flame-hypernet\[vision\]'"):
        read_data(tmp_path)


def test_the_vision_sets_of_the_kit_are_read(kit):
    archive = kit / "vision" / "digits_4domains.npz"
    if not archive.is_file():
        pytest.skip("needs the pictures of the data kit: vision/digits_4domains.npz under FLAME_DATA")
    digits = np.load(archive)
    batch = read_data((digits["mnist_x_test"], digits["mnist_y_test"]))
    assert (len(cells_of(batch)), batch.label_values) == (2000, tuple(range(10)))


# --- opening ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "colour", "seen"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 80, (80, 80, 80)),
        ("LA", (80, 0), (255, 255, 255)),
        ("RGBA", (*RED, 255), RED),
        ("RGBA", (*RED, 0), (255, 255, 255)),
        ("CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ("I;16", 32_896, (128, 128, 128)),
        ("I", 65_535, (255, 255, 255)),
        ("F", 0.5, (128, 128, 128)),
    ],
)
def test_every_mode_is_seen_in_rgb_on_white(mode, colour, seen):
    for side in (4096, 4):
        opened = open_picture(Image.new(mode, (8, 6), colour), side=side)
        assert opened.mode == "RGB"
        assert np.abs(np.asarray(opened).astype(int) - seen).max() <= 1


def test_a_palette_keeps_its_colours_and_shows_white_where_it_is_transparent():
    palette = plain(RED).convert("P", palette=Image.Palette.ADAPTIVE)
    assert open_picture(palette).getpixel((0, 0)) == RED
    transparent = Image.open(io.BytesIO(encoded("PNG", palette, transparency=palette.getpixel((0, 0)))))
    assert open_picture(transparent).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_in_a_file_are_scaled_and_not_cut_off(tmp_path):
    Image.fromarray(np.full((4, 4), 32_896, dtype="uint16")).save(tmp_path / "deep.png")
    assert open_picture(tmp_path / "deep.png").getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_picture_is_turned_as_its_exif_data_say(tmp_path, form):
    picture = plain(BLUE, (40, 20))
    picture.paste(RED, (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter: what is left comes on top
    path = tmp_path / f"turned.{form.lower()}"
    picture.save(path, form, exif=exif)
    for cell in (path, Image.open(path)):
        opened = open_picture(cell)
        assert opened.size == (20, 40)
        assert opened.getpixel((10, 5))[0] > 150
        assert opened.getpixel((10, 35))[2] > 150


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_data_spoil_no_picture(tmp_path):
    path = tmp_path / "odd.jpg"
    plain().save(path, exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12junk")
    assert open_picture(path).size == (8, 6)


def test_arrays_and_pillow_images_stay_as_they_are():
    cells = np.full((60, 80, 3), 7, dtype="uint8")
    picture = plain(size=(80, 60))
    lazy = Image.open(io.BytesIO(encoded("JPEG", plain(size=(80, 60)))))
    before = cells.copy(), picture.tobytes()
    for cell in (cells, picture, lazy):
        assert max(open_picture(cell, side=16).size) == 16
        opened = open_picture(cell)
        opened.paste(BLUE, (0, 0, 80, 60))
    assert np.array_equal(cells, before[0])
    assert picture.tobytes() == before[1]
    assert lazy.size == (80, 60)
    assert lazy.fp is not None  # not decoded either


def test_more_than_two_hundred_megapixels_are_refused_by_name_before_decoding(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png_header(20_000, 10_001))
    for read in (open_picture, picture_size):
        with pytest.raises(
            DataError, match=r"bomb.png': at most 200 megapixels .*20000 by 10001 pixels; make it smaller"
        ):
            read(tmp_path / "bomb.png")
    refused(tmp_path, "none of the 1 can be read: .*bomb.png' .at most 200 megapixels")
    with pytest.raises(DataError, match="a picture of type ndarray: at most 200 megapixels"):
        open_picture(np.lib.stride_tricks.as_strided(np.zeros(1, "uint8"), (20_000, 10_001), (0, 0)))


def test_up_to_two_hundred_megapixels_nothing_is_warned_of(tmp_path, recwarn):
    (tmp_path / "large.png").write_bytes(png_header(20_000, 9_999))
    assert header_fault(tmp_path / "large.png") == ""
    assert len(recwarn) == 0


def test_a_large_jpeg_is_decoded_in_part_only(tmp_path):
    Image.new("L", (16_000, 16_000), 90).save(tmp_path / "large.jpg", quality=30)
    assert header_fault(tmp_path / "large.jpg") == ""
    assert picture_size(tmp_path / "large.jpg") == (16_000, 16_000)
    opened = open_picture(tmp_path / "large.jpg", side=224)
    assert opened.size == (224, 224)
    assert abs(opened.getpixel((9, 9))[0] - 90) <= 2


def test_formats_that_start_other_programs_are_not_decoded(tmp_path):
    (tmp_path / "script.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    with pytest.raises(DataError, match="it is no picture of a known format"):
        open_picture(tmp_path / "script.jpg")


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("nowhere.png", "'nowhere.png': there is no such file"),
        (".", "'.': it is a folder"),
        (5, "a picture of type int: a path, a Pillow image or an array is expected, however: int"),
        (np.zeros((4, 4, 2), dtype="uint8"), r"however: uint8 \(4, 4, 2\)"),
        (np.zeros((0, 4), dtype="uint8"), r"however: uint8 \(0, 4\)"),
    ],
)
def test_what_cannot_be_opened_is_named(cell, why):
    with pytest.raises(DataError, match=f"a picture cannot be read: {why}|{why}"):
        open_picture(cell)


SEEDS = [encoded(form) for form in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM", "WEBP")]


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on TIFFs cut short
@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(SEEDS), st.integers(0, 400), st.binary(max_size=12), st.booleans())
def test_any_bytes_are_opened_or_refused(tmp_path, seed, place, junk, cut):
    path = tmp_path / "any.png"
    path.write_bytes(seed[:place] + junk + (b"" if cut else seed[place + len(junk) :]))
    fault = header_fault(path)
    opened, message = None, ""
    try:
        opened = open_picture(path, side=32)
    except DataError as error:
        message = str(error)
    assert ("any.png" in message) == (opened is None)
    if opened is not None:
        assert (opened.mode, fault) == ("RGB", "")
        assert max(opened.size) <= 32
