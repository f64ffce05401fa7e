import torch

from reid.nn.bn_neck import BNNeck, classifier


def test_the_bias_stays_zero_in_training() -> None:
    torch.manual_seed(0)
    neck = BNNeck(3)
    trained = [p for p in neck.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(trained, lr=0.1)
    neck(torch.randn(8, 3) + 5).square().sum().backward()
    optimiser.step()
    assert neck.bias.eq(0).all()
    assert neck.weight.ne(1).all()


def test_features_are_centred_over_the_batch() -> None:
    out = BNNeck(3)(torch.randn(64, 3) * 4 + 5)
    torch.testing.assert_close(out.mean(0), torch.zeros(3), rtol=0, atol=1e-5)


def test_the_classifier_starts_near_zero_without_bias() -> None:
    torch.manual_seed(0)
    linear = classifier(200, 50)
    assert linear.bias is None
    assert 0.0009 < float(linear.weight.detach().std()) < 0.0011
