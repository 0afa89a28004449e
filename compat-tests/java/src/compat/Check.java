package compat;

import java.util.Objects;
import java.util.concurrent.Callable;

/** Assertions whose failure says what was expected and what came. */
final class Check {
    private Check() {}

    static void equal(String what, Object expected, Object got) {
        if (!Objects.equals(expected, got)) {
            throw new AssertionError(what + ": expected " + expected + ", got " + got);
        }
    }

    static void that(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    static void between(String what, long low, long high, long got) {
        that(low <= got && got <= high, what + ": expected " + low + ".." + high + ", got " + got);
    }

    /** Waits until {@code probe} answers {@code expected}; fails after {@code millis}. */
    static void eventually(long millis, String what, Object expected, Callable<?> probe)
            throws Exception {
        long deadline = System.nanoTime() + millis * 1_000_000;
        Object got;
        do {
            try {
                got = probe.call();
            } catch (InterruptedException e) {
                throw e;
            } catch (Exception e) {
                got = e;
            }
            if (Objects.equals(expected, got)) {
                return;
            }
            Thread.sleep(20);
        } while (System.nanoTime() < deadline);
        throw new AssertionError(
                what + ": expected " + expected + " within " + millis + " ms, got " + got);
    }

    /** Runs {@code action}, which must throw; answers with what it threw. */
    static <T extends Throwable> T thrown(String what, Class<T> type, Callable<?> action) {
        Object got;
        try {
            got = action.call();
        } catch (Throwable e) {
            if (type.isInstance(e)) {
                return type.cast(e);
            }
            got = e;
        }
        throw new AssertionError(what + ": expected " + type.getSimpleName() + ", got " + got);
    }
}
