"""The Fourier temporal embedding."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from torch.testing import assert_close

from amrbench_plugins.ours.fourier import coordinates, fourier_features
from tests.plugins.ours import small


def embedding(**options):
    return small.built("temporal_embedding", "fourier", **options)


def test_the_golden_case():
    golden = small.golden("fourier_tef")
    points = coordinates(small.mask_of(golden["L"]))[0]
    assert_close(points, torch.tensor(golden["tef3"]), rtol=1e-5, atol=1e-7)
    features = fourier_features(points, torch.tensor(golden["B"]))
    # The rounding error of a phase of 130 is a float32 step at 130.
    assert_close(features, torch.tensor(golden["sin_then_cos"]), rtol=0, atol=5e-5)


def test_features_equal_one_number_at_a_time():
    mask, frequencies = small.mask_of(5, 3), torch.randn(4, 3)
    features = fourier_features(coordinates(mask), frequencies)
    for row, length in enumerate((5, 3)):
        for frame in range(length):
            point = (frame / length, (frame + 1) / length, 1 / length)
            for index, turns in enumerate(frequencies.tolist()):
                phase = 2 * math.pi * sum(a * b for a, b in zip(point, turns, strict=True))
                assert float(features[row, frame, index]) == pytest.approx(math.sin(phase), abs=2e-5)
                assert float(features[row, frame, 4 + index]) == pytest.approx(math.cos(phase), abs=2e-5)


def test_similarity_of_frames_is_a_gaussian_of_their_distance():
    frequencies = 2.0 * torch.randn(20000, 3, generator=torch.Generator().manual_seed(0))
    features = fourier_features(coordinates(small.mask_of(40)), frequencies)[0]
    similarity = features @ features.T / 20000
    delta = (torch.arange(40)[:, None] - torch.arange(40)) / 40
    assert_close(similarity, torch.exp(-4 * (math.pi * 2.0 * delta) ** 2), rtol=0, atol=0.03)


def test_one_frame_is_the_whole_recording():
    assert coordinates(small.mask_of(1)).tolist() == [[[0, 1, 1]]]


@pytest.mark.parametrize("frames", [1, 59, 300])
def test_any_length_is_embedded(frames):
    embedded = embedding().add(small.mask_of(frames))
    assert embedded.shape == (1, frames, 8)
    assert bool(embedded.isfinite().all())


def test_padding_and_other_samples_change_nothing():
    module = embedding()
    both, alone = module.add(small.mask_of(26, 9)), module.add(small.mask_of(9))
    assert_close(both[1:, :9], alone, rtol=0, atol=1e-6)
    assert not both[1, 9:].any()


def test_no_seed_changes_the_map():
    one, other = (
        small.part("temporal_embedding", "fourier").build(small.context(seed=seed)).frequencies
        for seed in (0, 1000)
    )
    assert one.equal(other)
    std = embedding(frequencies=4000, sigma=3.0).frequencies.std()
    assert float(std) == pytest.approx(3.0, rel=0.05)


def test_the_map_is_that_of_a_fixed_seed():
    drawn = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    assert embedding().frequencies.equal(10 * drawn), "or saved weights would have another one"


def test_two_coordinates_have_the_map_of_three_without_its_last_column():
    one, other = embedding(coordinates=2), embedding()
    assert one.frequencies.equal(other.frequencies[:, :2])
    assert one.frequencies.is_contiguous(), "or it could not be saved"
    points = coordinates(small.mask_of(7))
    features = fourier_features(points[..., :2], one.frequencies)
    points[..., 2] = 0
    assert features.equal(fourier_features(points, other.frequencies))


def test_recordings_of_other_lengths_differ_by_the_third_coordinate_alone():
    starts = []
    for count in (2, 3):
        module = embedding(coordinates=count)
        # Frame 0 of two frames and frame 0 of four both begin at 0; without their ends they are equal.
        module.frequencies[:, 1] = 0
        starts.append(small.gap(module.add(small.mask_of(2))[0, 0], module.add(small.mask_of(4))[0, 0]))
    assert starts[0] == 0
    assert starts[1] > 1e-4


def test_coordinates_go_through_the_perceptron_as_they_are():
    module = small.built("temporal_embedding", "coordinates")
    embedded = module.add(small.mask_of(5, 3))
    first, second = module.perceptron.linears
    for row, length in enumerate((5, 3)):
        for frame in range(length):
            point = torch.tensor([frame / length, (frame + 1) / length, 1 / length])
            assert_close(embedded[row, frame], second(first(point).relu()), rtol=0, atol=1e-6)
    assert not embedded[1, 3:].any()
    embedded.pow(2).sum().backward()
    assert small.without_gradient(module) == []


def test_a_wrong_number_of_coordinates_is_refused():
    with pytest.raises(ValidationError) as error:
        small.part("temporal_embedding", "fourier", coordinates=4)
    assert "Input should be 2 or 3, not 4." in str(error.value)


def test_the_map_is_saved_and_not_trained():
    module = embedding()
    assert module.state_dict()["frequencies"].shape == (64, 3)
    assert "frequencies" not in dict(module.named_parameters())


def test_half_precision_rounds_no_phase():
    points, frequencies = coordinates(small.mask_of(300)), embedding().frequencies
    plain = fourier_features(points, frequencies)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fourier_features(points, frequencies).equal(plain)
        embedded = embedding().add(small.mask_of(300))
    assert_close(embedded.float(), embedding().add(small.mask_of(300)), rtol=0, atol=0.03)


@pytest.mark.parametrize("use", ["fourier", "coordinates"])
def test_a_module_in_half_precision_embeds_in_half_precision(use):
    module = small.built("temporal_embedding", use).bfloat16()
    assert module.add(small.mask_of(7, 3)).dtype == torch.bfloat16


def test_every_weight_learns():
    module = embedding()
    (module.add(small.mask_of(7, 3)) ** 2).sum().backward()
    assert small.without_gradient(module) == []


def test_there_are_no_further_input_columns():
    projection = small.model(temporal_embedding="fourier").audio_projection
    assert projection.linears[0].in_features == 12
    assert small.model().audio_projection.linears[0].in_features == 14
