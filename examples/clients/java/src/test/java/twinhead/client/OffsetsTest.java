package twinhead.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import org.junit.Test;

public class OffsetsTest {
    private static String part(String text, int start, int end) {
        var offsets = new Offsets(text);
        var from = offsets.units(start);
        return text.substring(from, offsets.units(end));
    }

    @Test
    public void asciiCountsAlike() {
        assertEquals("Rome", part("Ann lives in Rome.", 13, 17));
    }

    @Test
    public void anEmojiIsOneCodePoint() {
        assertEquals("Rome", part("🏛🏛 Rome", 3, 7));
        assertEquals("🏛", part("a🏛b", 1, 2));
    }

    @Test
    public void emojiOfSeveralCodePoints() {
        var family = "👩‍👩‍👧"; // five: three people, two joiners
        assertEquals(family, part("x" + family + "y", 1, 6));
        assertEquals("y", part("x" + family + "y", 6, 7));
        assertEquals("👍🏽", part("👍🏽!", 0, 2)); // with a skin tone
        assertEquals("Rome", part("🇮🇹 Rome", 3, 7)); // two letters that make a flag
    }

    @Test
    public void combiningMarksCount() {
        assertEquals("Zoe\u0308", part("Zoe\u0308 ran", 0, 4));
        assertEquals("ran", part("Zoe\u0308 ran", 5, 8));
    }

    @Test
    public void chinese() {
        assertEquals("北京", part("我在北京。", 2, 4));
        assertEquals("家", part("𠮷家", 1, 2)); // the first is beyond 16 bits
    }

    @Test
    public void offsetsMayComeInAnyOrder() {
        var offsets = new Offsets("🏛a🏛b");
        assertEquals(6, offsets.units(4));
        assertEquals(2, offsets.units(1));
        assertEquals(0, offsets.units(0));
        assertEquals(5, offsets.units(3));
    }

    @Test
    public void beyondTheTextIsAnError() {
        assertThrows(IndexOutOfBoundsException.class, () -> new Offsets("🏛").units(2));
    }
}
