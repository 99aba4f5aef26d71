package twinhead.client;

/**
 * Turns offsets in Unicode code points, as the contract counts, into offsets in UTF-16 units, as
 * Java's strings count: an emoji is one code point and two units.
 */
final class Offsets {
    private final String text;
    // Where the last call ended: offsets that ascend cost one walk along the text in all.
    private int codePoints;
    private int units;

    Offsets(String text) {
        this.text = text;
    }

    /**
     * The offset in UTF-16 units.
     *
     * @throws IndexOutOfBoundsException the text has fewer code points
     */
    int units(int offset) {
        units = text.offsetByCodePoints(units, offset - codePoints);
        codePoints = offset;
        return units;
    }
}
