"""Data sets of every kind, and hostile ones: each is one clear error."""

from __future__ import annotations

import io
import struct
import wave
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from fakes.models import ONE, PIXELS, artifact
from PIL import Image

from harness.errors import TensorError
from harness.model import arrays
from harness.model.data import open_data
from harness.model.dataset import DataOptions, DataSet, parse_data
from harness.model.folders import read_sound
from harness.model.tensor import TensorSpec

X = np.arange(5 * 4, dtype=np.uint8).reshape(5, 2, 2) * 12
Y = np.array([0, 1, 2, 0, 1])
QUANTIZED = (X.astype(int) - 128).reshape(5, 2, 2, 1).tolist()


def opened(path: Path, model=None, **how) -> DataSet:  # type: ignore[no-untyped-def]
    return open_data(path, model or artifact(), DataOptions(**how))


@pytest.mark.parametrize("save", (np.savez, np.savez_compressed))
def test_an_npz_holds_samples_and_answers(save, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    save(tmp_path / "set.npz", x=X, y=Y)
    data = opened(tmp_path / "set.npz")
    assert (data.count, data.meaning, data.source) == (5, "unit", "set.npz")
    assert data.inputs(0, 5).tolist() == QUANTIZED and data.inputs(0, 5).dtype == np.int8
    assert data.inputs(3, 4).tolist() == QUANTIZED[3:4]
    assert data.targets.labels.tolist() == Y.tolist()
    assert data.reals(0, 1).ravel().tolist() == pytest.approx([0, 12 / 255, 24 / 255, 36 / 255])


def test_orders_byte_orders_and_flat_rows_make_no_difference(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.asfortranarray(X))
    np.save(tmp_path / "b.npy", X.reshape(5, 4).astype(">i8") - 128)
    for name in ("a.npy", "b.npy"):
        assert opened(tmp_path / name).inputs(0, 5).tolist() == QUANTIZED


def test_answers_may_be_another_array_or_a_file_of_their_own(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x=X, y=Y, other=Y[::-1])
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "y.npy", Y)
    assert opened(tmp_path / "set.npz", labels="other").targets.labels.tolist() == [1, 0, 2, 1, 0]
    labels = str(tmp_path / "y.npy")
    assert opened(tmp_path / "x.npy", labels=labels).targets.labels.tolist() == Y.tolist()
    assert opened(tmp_path / "x.npy").targets.labels is None
    with pytest.raises(TensorError, match="no array 'absent'"):
        opened(tmp_path / "set.npz", labels="absent")


def test_several_inputs_are_arrays_of_their_names(tmp_path: Path) -> None:
    other = TensorSpec(shape=(1, 2), dtype="float32", name="serving_default_b:0")
    model = artifact((PIXELS, other))
    np.savez(tmp_path / "set.npz", image=X, b=np.ones((5, 2), np.float32), y=Y)
    batch = opened(tmp_path / "set.npz", model).inputs(1, 3)
    assert batch.dtype.names == ("image", "serving_default_b:0") and len(batch) == 2
    np.savez(tmp_path / "few.npz", image=X)
    with pytest.raises(TensorError, match="no array for input"):
        opened(tmp_path / "few.npz", model)
    np.savez(tmp_path / "short.npz", image=X, b=np.ones((4, 2), np.float32))
    with pytest.raises(TensorError, match="different numbers of samples"):
        opened(tmp_path / "short.npz", model)
    np.save(tmp_path / "one.npy", X)
    with pytest.raises(TensorError, match="several inputs"):
        opened(tmp_path / "one.npy", model)


def test_a_csv_has_numbers_a_header_and_a_stated_column_of_answers(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text("a,b,name,c,d\n0,12,cat,24,36\n\n48,60,dog,72,255\n")
    data = opened(path, labels="name")
    assert data.inputs(0, 2).tolist()[0] == QUANTIZED[0]
    assert data.targets.labels.tolist() == [0, 1] and data.targets.classes == ("cat", "dog")
    path.write_text("x,y\n0.5,1\n1.5,2.5\n")
    data = opened(path, artifact(ONE, ONE), labels="y", inputs="real")
    assert data.targets.expected.ravel().tolist() == [1, 2.5]


@pytest.mark.parametrize(
    ("text", "what"),
    (
        ("", "no header"),
        ("1,2,3,4\n1,2,3,4\n", "no header"),
        ("a,b,c,d\n", "no samples"),
        ("a,b,c,d\n1,2,3\n", "sample 0 has 3 cells"),
        ("a,b,c,d\n1,2,3,4\n1,2,3,x;\n", "sample 1 holds 'x;'"),
        ("a,b,c,d\n1,2,3,nan\n", "sample 0 of bad.csv holds NaN"),
        ("a,b,c\n1,2,3\n", "while the model takes"),
        ("a,b,c,d\n" + "1" * 200_000 + ",2,3,4\n", "no CSV"),
        ("a,b,c,d\n1,\0,3,4\n", "bad.csv"),
    ),
)
def test_a_bad_csv_is_one_error_that_names_it(text: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(TensorError, match="bad.csv") as caught:
        opened(path)
    assert what in str(caught.value)


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def npy(array: object, **how: bool) -> bytes:
    content = io.BytesIO()
    np.save(content, np.asarray(array), **how)  # type: ignore[arg-type]
    return content.getvalue()


def test_hostile_archives_are_one_error_that_names_file_and_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = np.array([{"a": 1}] * 4, dtype=object)
    lying = npy(X).replace(b"(5, 2, 2)", b"(9, 2, 2)")
    path = tmp_path / "bad.npz"
    for content, what in (
        (npy(objects, allow_pickle=True), "object"),
        (lying, "bytes instead of"),
        (b"not an array", "no array"),
        (npy(3), "single value"),
        (npy(np.zeros((0, 2, 2))), "no samples"),
        (npy(X.astype("datetime64[s]")), "neither numbers nor text"),
        (npy(X)[:60], "no array"),
    ):
        with pytest.raises(TensorError, match="bad.npz") as caught:
            opened(zipped(path, x=content))
        assert what in str(caught.value)
    monkeypatch.setattr(arrays, "MOST_UNPACKED", 10)
    with pytest.raises(TensorError, match="unpacks to 20 bytes"):
        opened(zipped(path, x=npy(X)))
    path.write_bytes(b"PK\3\4 no archive")
    with pytest.raises(TensorError, match="bad.npz is no archive"):
        opened(path)
    path.write_bytes(zipped(path, x=npy(X)).read_bytes()[:-30])
    with pytest.raises(TensorError, match="bad.npz is no archive"):
        opened(path)


@pytest.mark.parametrize(
    ("samples", "what"),
    (
        (np.zeros((5, 3)), r"shape \(5, 3\)"),
        (np.zeros((4, 4, 1, 1, 2)), "shape"),
        (np.array([[0, 1, np.nan, 0]]), "sample 0 of bad.npy holds NaN"),
        (np.array([[0.0] * 4, [np.inf] * 4]), "sample 1 of bad.npy"),
        (np.array(["a"] * 4), "no numbers"),
    ),
)
def test_samples_that_do_not_fit_are_named(samples: object, what: str, tmp_path: Path) -> None:
    np.save(tmp_path / "bad.npy", samples)  # type: ignore[arg-type]
    with pytest.raises(TensorError, match=what):
        opened(tmp_path / "bad.npy")


def image(path: Path, size: tuple[int, int] = (2, 2), mode: str = "L", value: int = 255) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


def test_folders_of_images_are_classes(tmp_path: Path) -> None:
    image(tmp_path / "b" / "1.png", value=0)
    image(tmp_path / "b" / ".hidden.png")
    image(tmp_path / "a" / "odd;\nname.png")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    data = opened(tmp_path)
    assert data.count == 2 and data.targets.labels.tolist() == [0, 1]
    assert data.targets.classes == ("a", "b")
    assert data.inputs(0, 2).reshape(2, 4).tolist() == [[127] * 4, [-128] * 4]
    assert "\n" not in data.name(0)


def test_images_are_made_to_fit_only_where_that_is_said(tmp_path: Path) -> None:
    image(tmp_path / "a" / "1.png", (4, 4), "RGB", 0)
    with pytest.raises(TensorError, match="a/1.png is rgb, the model takes grey") as caught:
        opened(tmp_path).inputs(0, 1)
    assert "--colour grey" in caught.value.hint
    with pytest.raises(TensorError, match="4 x 4 pixels") as caught:
        opened(tmp_path, colour="grey").inputs(0, 1)
    assert "--resize" in caught.value.hint
    assert opened(tmp_path, colour="grey", resize=True).inputs(0, 1).size == 4


def test_bad_folders_and_images_are_one_error_that_names_them(tmp_path: Path) -> None:
    with pytest.raises(TensorError, match="holds no folders"):
        opened(tmp_path)
    image(tmp_path / "a" / "1.png")
    (tmp_path / "b").mkdir()
    with pytest.raises(TensorError, match="folder of class b"):
        opened(tmp_path)
    (tmp_path / "b" / "2.png").write_bytes((tmp_path / "a" / "1.png").read_bytes()[:40])
    with pytest.raises(TensorError, match="cannot read image b/2.png"):
        opened(tmp_path).inputs(0, 2)
    (tmp_path / "b" / "2.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    with pytest.raises(TensorError, match="cannot read image b/2.png"):
        opened(tmp_path).inputs(0, 2)
    (tmp_path / "b" / "3.wav").write_bytes(b"")
    with pytest.raises(TensorError, match="images and sounds"):
        opened(tmp_path)


def test_a_large_image_that_does_not_fit_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 7000, 7000, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    png += struct.pack(">I", zlib.crc32(chunk))
    # Its pixels are not there: who looked for them would say so.
    png += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(png)
    with pytest.raises(TensorError, match="7000 x 7000 pixels, the model takes"):
        opened(tmp_path).inputs(0, 1)


def test_a_sound_that_says_it_has_more_than_its_file_is_refused(tmp_path: Path) -> None:
    sound(tmp_path / "1.wav", [1, 2, 3])
    content = bytearray((tmp_path / "1.wav").read_bytes())
    content[40:44] = struct.pack("<I", 50_000_000)
    (tmp_path / "1.wav").write_bytes(content)
    with pytest.raises(TensorError, match="1.wav says it has 25000000 samples, and has 50 bytes"):
        read_sound(tmp_path / "1.wav", "1.wav")


def sound(path: Path, samples: list[int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(np.array(samples, dtype="<i2").tobytes())


FEATURES = """
import numpy as np
def first(samples, rate):
    assert rate == 16000 and samples.dtype == np.int16
    return samples[:4] / 32768
def short(samples, rate):
    return [1.0]
def broken(samples, rate):
    raise KeyError("no")
"""


def test_sounds_need_a_stated_feature_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "set"
    sound(folder / "no" / "1.wav", [0, 8192, 0, 32767, 5])
    sound(folder / "yes" / "2.wav", [0, 0, 0, 0])
    (tmp_path / "featuresteps.py").write_text(FEATURES)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TensorError, match="--feature"):
        opened(folder)
    data = opened(folder, feature="featuresteps:first")
    assert data.meaning == "real"
    assert data.inputs(0, 2).reshape(2, 4).tolist() == [[-128, -64, -128, 127], [-128] * 4]
    for name, what in (
        ("featuresteps:short", "made 1 numbers of no/1.wav"),
        ("featuresteps:broken", "failed on no/1.wav: KeyError"),
        ("featuresteps:absent", "cannot import"),
        ("absent_module:f", "cannot import"),
        ("featuresteps", "MODULE:FUNCTION"),
    ):
        with pytest.raises(TensorError, match=what):
            opened(folder, feature=name).inputs(0, 2)
    (folder / "yes" / "2.wav").write_bytes(b"RIFF....")
    with pytest.raises(TensorError, match="cannot read sound yes/2.wav"):
        opened(folder, feature="featuresteps:first").inputs(0, 2)


def test_the_digest_is_of_the_content_and_of_how_it_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    first = opened(tmp_path / "a.npz").digest
    assert opened(tmp_path / "a.npz").digest == first
    assert opened(tmp_path / "a.npz", inputs="real").digest != first
    np.savez(tmp_path / "a.npz", x=X + 1, y=Y)
    assert opened(tmp_path / "a.npz").digest != first


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "set.txt").write_text("1")
    for name in ("set.txt", "absent.npz"):
        with pytest.raises(TensorError, match=name.partition(".")[0]):
            opened(tmp_path / name)
    np.savez(tmp_path / "a.npz", z=X)
    with pytest.raises(TensorError, match="no array 'x'; it has: z"):
        opened(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", x=X, y=Y[:3])
    with pytest.raises(TensorError, match="5 samples and 3 answers"):
        opened(tmp_path / "a.npz")


def test_a_path_may_say_how_it_is_read(tmp_path: Path) -> None:
    path, how = parse_data("a/set.csv?labels=y&inputs=unit&resize")
    assert path == Path("a/set.csv")
    assert (how.labels, how.inputs, how.resize) == ("y", "unit", True)
    assert parse_data("x.csv?resize=1")[1].resize
    odd = tmp_path / "a?labels=y"
    odd.mkdir()
    assert parse_data(str(odd)) == (odd, DataOptions())
    for text in ("x.csv?nothing=1", "x.csv?inputs=what"):
        with pytest.raises(TensorError, match="data set"):
            parse_data(text)
