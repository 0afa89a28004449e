package compat;

import java.util.ArrayList;
import java.util.List;

/** The table of all scenarios; names are the lines of the checklist that they check. */
final class Scenarios {
    /** The version that runs what takes long, unless everything was asked for. */
    private static final String REFERENCE = "5.3.3";

    static final class Entry {
        final String name;
        final Scenario scenario;
        private boolean slow;

        Entry(String name, Scenario scenario) {
            this.name = name;
            this.scenario = scenario;
        }

        /** Takes a minute or more and depends little on the client: one version is enough. */
        Entry slow() {
            slow = true;
            return this;
        }

        /** Why this scenario is left out, or null. */
        String skipReason(Context.Settings settings, boolean everything) {
            if (slow && !everything && !settings.client.equals(REFERENCE)) {
                return "slow: runs with client " + REFERENCE;
            }
            return null;
        }
    }

    private static final List<Entry> ALL = new ArrayList<>();

    private Scenarios() {}

    private static Entry add(String name, Scenario scenario) {
        Entry entry = new Entry(name, scenario);
        ALL.add(entry);
        return entry;
    }

    static List<Entry> all() {
        return ALL;
    }

    // Long ones first: they wait while the others run.
    static {
        add("line-5", WireScenarios::idleConnectionIsClosed).slow();
        add("line-1", WireScenarios::bothEncodings);
        add("line-2", WireScenarios::onewayIsNotAnswered);
        add("line-3", WireScenarios::unknownCode);
        add("line-4", WireScenarios::heartbeatAnswer);
        add("line-7", WireScenarios::proxyPreamble);
        add("line-15", SendScenarios::syncResult);
    }
}
