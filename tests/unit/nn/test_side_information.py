import pytest
import torch

from reid.errors import DataError
from reid.nn.side_information import SideInformation


def ids(*values: int) -> torch.Tensor:
    return torch.tensor(values)


def test_rows_count_views_within_cameras() -> None:
    side = SideInformation(cameras=3, views=2, width=4, weight=3.0)
    out = side(ids(0, 1, 2), ids(1, 0, 1))
    assert out.shape == (3, 1, 4)
    torch.testing.assert_close(out, 3.0 * side.table[[1, 2, 5]])


def test_a_kind_that_is_off_is_not_looked_at() -> None:
    cameras = SideInformation(cameras=3, views=1, width=4, weight=1.0)
    torch.testing.assert_close(cameras(ids(2, 0), ids(7, -1)), cameras.table[[2, 0]])
    views = SideInformation(cameras=1, views=2, width=4, weight=1.0)
    torch.testing.assert_close(views(ids(99, -1), ids(1, 0)), views.table[[1, 0]])


def test_an_unknown_camera_or_view_adds_nothing() -> None:
    side = SideInformation(cameras=3, views=2, width=4, weight=3.0)
    out = side(ids(-1, 1, 1), ids(0, -1, 0))
    assert out[:2].eq(0).all()
    assert out[2].ne(0).all()


def test_unknown_rows_get_no_gradient() -> None:
    side = SideInformation(cameras=2, views=1, width=4, weight=1.0)
    side(ids(-1, 1), ids(0, 0)).sum().backward()
    assert side.table.grad is not None
    assert side.table.grad[:, 0, 0].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("cameras", "views", "message"),
    [
        (ids(0, 3), ids(0, 0), "camera id 3; expected 0 to 2, as the network has a table of 3 cam"),
        (ids(-2, 0), ids(0, 0), "camera id -2"),
        (ids(0, 0), ids(0, 8), "view id 8; expected 0 to 1, .*Number the views as in training"),
    ],
)
def test_ids_beyond_the_table_are_named(
    cameras: torch.Tensor, views: torch.Tensor, message: str
) -> None:
    side = SideInformation(cameras=3, views=2, width=4, weight=3.0)
    with pytest.raises(DataError, match=message):
        side(cameras, views)
