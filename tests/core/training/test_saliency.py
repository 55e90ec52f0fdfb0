import torch

from amrbench.training.saliency import SaliencyCollector
from amrbench.types import Outputs


def outputs(values, lengths, name="saliency"):
    values = torch.tensor(values)
    return Outputs({name: values}, torch.arange(values.shape[1]) < torch.tensor(lengths)[:, None])


def test_rows_without_padding_stand_in_the_order_of_the_queries():
    collector = SaliencyCollector()
    collector([2, 0], outputs([[1.0, 2.0, 9.0], [3.0, 9.0, 9.0]], [2, 1]))
    collector([1], outputs([[4.0]], [1]))
    assert [rows.tolist() for rows in collector.rows()] == [[3.0], [4.0], [1.0, 2.0]]


def test_a_model_without_saliency_leaves_nothing():
    collector = SaliencyCollector()
    collector([0], outputs([[1.0]], [1], name="other"))
    assert collector.rows() == []
