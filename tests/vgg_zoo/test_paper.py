"""Tables 11 and 12, typed from the paper a second time."""

from vgg_zoo.paper import PAPER_FEATURES, paper_features, paper_figure

TYPED = {
    ("voc2007", "D"): (89.3, None),
    ("voc2007", "E"): (89.3, None),
    ("voc2007", "D E"): (89.7, None),
    ("voc2012", "D"): (89.0, None),
    ("voc2012", "E"): (89.0, None),
    ("voc2012", "D E"): (89.3, None),
    ("caltech101", "D"): (91.8, 1.0),
    ("caltech101", "E"): (92.3, 0.5),
    ("caltech101", "D E"): (92.7, 0.5),
    ("caltech256", "D"): (85.0, 0.2),
    ("caltech256", "E"): (85.1, 0.3),
    ("caltech256", "D E"): (86.2, 0.3),
}


def test_the_figures_are_the_papers() -> None:
    """Twelve of classification, two of actions, and nothing else."""
    assert len(PAPER_FEATURES) == len(TYPED) + 2
    for (data_set, nets), (figure, deviation) in TYPED.items():
        row = paper_figure(data_set, nets.split())
        assert row is not None
        assert (row.figure, row.deviation) == (figure, deviation)
    for with_box, figure in ((False, 79.2), (True, 84.0)):
        (row,) = paper_features("voc2012-action", with_box)
        assert (row.configurations, row.figure) == (("D", "E"), figure)


def test_the_nets_may_be_in_any_order_but_must_be_the_papers() -> None:
    """E and D are D and E; A, no net of the paper's, or an action of one net have no figure."""
    assert paper_figure("voc2007", ["E", "D"]) == paper_figure("voc2007", ["D", "E"])
    for data_set, nets in (("voc2007", ["A"]), ("voc2007", [None]), ("voc2012-action", ["D"]), ("folder", ["D"])):
        assert paper_figure(data_set, nets) is None
