import numpy as np
import pytest

from amrbench_plugins.simulated.latents import SIZE, sentence_latent, unit, word_latent, words_of


@pytest.mark.parametrize(
    ("sentence", "words"),
    [("A dog, barking.", ["a", "dog", "barking"]), ("犬 が", ["犬", "が"]), ("", [""]), ("?!", [""])],
)
def test_words_of_a_sentence(sentence, words):
    assert words_of(sentence) == words


def test_forms_of_a_word_mean_the_same_and_other_words_do_not():
    assert np.array_equal(word_latent("whistles"), word_latent("whistling"))
    assert abs(word_latent("whistles") @ word_latent("rain")) < 0.5


@pytest.mark.parametrize("sentence", ["heavy rain", "", "it is"])
def test_latents_have_length_one(sentence):
    latent = sentence_latent(sentence)
    assert (latent.shape, latent.dtype) == ((SIZE,), np.float32)
    assert np.linalg.norm(latent) == pytest.approx(1, abs=1e-5)


def test_function_words_and_the_order_of_words_mean_nothing():
    assert np.allclose(sentence_latent("Rain on a roof"), sentence_latent("the roof, rain"), atol=1e-6)


def test_sentences_are_alike_as_far_as_they_share_words():
    one = sentence_latent("dog barks loudly")
    assert one @ sentence_latent("dog barks quietly") > 0.4 > abs(one @ sentence_latent("cars pass by"))


def test_directions_are_random():
    rng = np.random.default_rng(0)
    assert abs(unit(rng) @ unit(rng)) < 0.5
