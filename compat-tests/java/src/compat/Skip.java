package compat;

/** Ends a scenario that does not apply, with the reason. */
final class Skip extends RuntimeException {
    Skip(String reason) {
        super(reason);
    }
}
