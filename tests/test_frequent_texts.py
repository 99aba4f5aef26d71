"""The most frequent texts under each label."""

from twinhead.client.label_report.frequent_texts import FrequentTexts


def test_texts_are_ranked_by_label():
    texts = FrequentTexts()
    texts.add([(0, "Rome", 2), (0, "Oslo", 3), (1, "Rome", 9), (0, "Bonn", 3)])
    texts.add([(0, "Rome", 2)])
    texts.forget_rare()
    assert texts.top(0, 2) == [("Rome", 4), ("Bonn", 3)]
    assert texts.top(1, 5) == [("Rome", 9)]
    assert texts.top(2, 5) == []
    assert texts.missed == 0


def test_rare_texts_are_forgotten_and_frequent_ones_are_not():
    texts = FrequentTexts(100)
    for block in range(50):
        texts.add([(0, "often", 20), (1, "now and then", 5)])
        texts.add([(0, f"rare {block} {number}", 1) for number in range(90)])
        texts.forget_rare()
        assert len(texts._counts) <= 100
    assert texts.top(0, 1) == [("often", 1000)]
    assert texts.top(1, 1) == [("now and then", 250)]
    assert 0 < texts.missed <= 50


def test_what_is_kept_does_not_depend_on_the_order():
    counts = [(0, f"text {number}", number % 7) for number in range(300)]
    one, other = FrequentTexts(100), FrequentTexts(100)
    one.add(counts)
    other.add(reversed(counts))
    one.forget_rare()
    other.forget_rare()
    assert one.top(0, 300) == other.top(0, 300)
    assert len(one.top(0, 300)) == 50
