import pytest
import torch
from safetensors import safe_open
from torch import nn

from amrbench.errors import CheckpointError, RunError
from amrbench.files import weights
from amrbench.files.weights import StoredWeights, load_weights, read_weights, state_of, write_weights
from tests.small_world.permissions import with_mode


class Net(nn.Module):
    """Has a module with two tensors, a tied tensor, a scalar and a buffer of integers."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.model = nn.ModuleDict({"query": nn.Linear(2, 3), "rest": nn.Linear(3, 3)})
        self.tied = self.model["rest"].weight
        self.scale = nn.Parameter(torch.tensor(value))
        self.register_buffer("count", torch.tensor([7, 8]))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(value)


def test_what_is_written_is_read(tmp_path):
    net = Net(3.0)
    write_weights(tmp_path / "w.safetensors", state_of(net), {"epoch": 3})
    read = read_weights(tmp_path / "w.safetensors")
    assert read.keys() == net.state_dict().keys()
    assert all(torch.equal(read[name], value) for name, value in net.state_dict().items())
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]


def test_weights_that_may_not_be_read_are_named_as_such(tmp_path):
    file = tmp_path / "w.safetensors"
    write_weights(file, state_of(Net()), {})
    with with_mode(file, 0), pytest.raises(CheckpointError) as error:
        read_weights(file)
    assert str(error.value) == (
        f"{file}: these weights cannot be read (Permission denied). Let this user read the file, or move its "
        "folder away; what it held is trained again when it is needed."
    )


def test_stored_weights_are_those_that_are_read_at_once(tmp_path):
    write_weights(tmp_path / "w", state_of(Net(3.0)), {})
    stored, read = StoredWeights(tmp_path / "w"), read_weights(tmp_path / "w")
    assert [*stored] == [*read]
    assert len(stored) == len(read)
    assert all(torch.equal(stored[name], value) for name, value in read.items())
    assert "none" not in stored
    with pytest.raises(KeyError, match="none"):
        stored["none"]


def test_stored_weights_are_read_one_by_one(tmp_path, monkeypatch):
    write_weights(tmp_path / "w", state_of(Net(3.0)), {})
    taken = []

    class Watched:
        def __init__(self, path, framework):
            self.file = safe_open(path, framework)

        def keys(self):
            return self.file.keys()

        def get_tensor(self, name):
            taken.append(name)
            return self.file.get_tensor(name)

    monkeypatch.setattr(weights, "safe_open", Watched)
    stored = StoredWeights(tmp_path / "w")
    assert taken == []
    assert stored["scale"].item() == 3
    assert taken == ["scale"]


def test_the_same_weights_give_the_same_bytes(tmp_path):
    about = {"epoch": 3, "stage": "x", "val": {"R1@0.5": 1.5}}
    for name in "ab":
        write_weights(tmp_path / name, state_of(Net(1.0)), about)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_copy_is_not_moved_by_training():
    net = Net(1.0)
    copy = state_of(net)
    with torch.no_grad():
        net.scale.fill_(2)
    assert copy["scale"].item() == 1


def test_weights_are_loaded_in_place():
    net, other = Net(1.0), Net(2.0)
    before = net.scale
    load_weights(net, state_of(other), name="x")
    assert net.scale is before
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in net.state_dict().items())


def test_fresh_modules_keep_their_weights():
    net = Net(1.0)
    given = {name: value for name, value in state_of(Net(2.0)).items() if not name.endswith("query.bias")}
    load_weights(net, given, name="x", fresh=["model.query"])
    assert net.model["query"].weight.unique().item() == 1
    assert net.model["rest"].weight.unique().item() == 2


def test_a_fresh_tensor_may_have_another_shape():
    given = state_of(Net(2.0)) | {"model.query.weight": torch.zeros(9, 9)}
    net = Net(1.0)
    load_weights(net, given, name="x", fresh=["model.query.weight"])
    assert net.model["query"].bias.unique().item() == 2


def test_every_missing_and_unexpected_name_is_listed():
    given = state_of(Net())
    del given["scale"], given["count"]
    given["new"] = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r"a\.st: .*missing 'count', 'scale'; unexpected 'new'\. They"):
        load_weights(Net(), given, name="a.st")


def test_other_shapes_are_named():
    given = state_of(Net()) | {"count": torch.zeros(3)}
    with pytest.raises(CheckpointError, match=r"'count' is \(3,\), not \(2,\)"):
        load_weights(Net(), given, name="a.st")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff" * 40])
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"w\.safetensors: not a weights file, or truncated"):
        read_weights(tmp_path / "w.safetensors")


def test_a_truncated_file_is_named(tmp_path):
    write_weights(tmp_path / "w", state_of(Net()), {})
    (tmp_path / "w").write_bytes((tmp_path / "w").read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="truncated"):
        read_weights(tmp_path / "w")


def test_a_missing_file_and_folder_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="none.safetensors"):
        read_weights(tmp_path / "none.safetensors")
    with pytest.raises(RunError, match=r"w: cannot be written"):
        write_weights(tmp_path / "none" / "w", state_of(Net()), {})
