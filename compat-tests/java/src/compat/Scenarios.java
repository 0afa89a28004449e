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
        private boolean extraBroker;
        private boolean oursOnly;
        boolean alone;

        Entry(String name, Scenario scenario) {
            this.name = name;
            this.scenario = scenario;
        }

        /** Takes a minute or more and depends little on the client: one version is enough. */
        Entry slow() {
            slow = true;
            return this;
        }

        /** Starts a broker, which takes a Java one so long that one version is enough there. */
        Entry extraBroker() {
            extraBroker = true;
            return this;
        }

        /** Is about a program that the control does not have. */
        Entry oursOnly() {
            oursOnly = true;
            return this;
        }

        /** Measures, and so runs when the others have ended. */
        Entry alone() {
            alone = true;
            return this;
        }

        /** Why this scenario is left out, or null. */
        String skipReason(Context.Settings settings, boolean everything) {
            if (oursOnly && settings.control) {
                return "the control has no such program";
            }
            boolean once = slow || extraBroker && settings.control;
            if (once && !everything && !settings.client.equals(REFERENCE)) {
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
        add("line-17-kill", OrderlyScenarios::killedOwnerIsReplaced).slow();
        add("line-37", PushScenarios::startPositions);
        add("line-44", RetryScenarios::attempts);
        add("line-28", TransactionScenarios::everyOutcome);
        add("line-65", PopScenarios::backToQueues);
        add("line-63", PopScenarios::laterIsTenSeconds);
        add("line-54", GroupScenarios::offsetIsReset);
        add("line-43", PushScenarios::offsetOutOfRange);
        add("line-42", PushScenarios::killedConsumerResumes);
        add("line-46", RetryScenarios::sendBackElsewhere);
        add("line-39", PushScenarios::longPoll);
        add("line-17", OrderlyScenarios::oneOwnerPerQueue);
        add("line-48", PushScenarios::subscriptionChanges);
        add("line-20", BatchScenarios::manyInFlight).extraBroker();
        add("line-18", BatchScenarios::busy).extraBroker();
        add("line-12", RouteScenarios::newBrokerIsUsed).extraBroker();
        add("line-71", AdminScenarios::manyTopics).extraBroker();
        add("line-80", AdminScenarios::gracefulStop).extraBroker();
        add("mqserver", RouteScenarios::oneCommand).oursOnly();
        add("line-25", DelayScenarios::levels);
        add("line-29", TransactionScenarios::anotherMemberIsAsked);
        add("line-62", PopScenarios::unansweredComesAgain);
        add("line-26", DelayScenarios::timers);
        add("line-27", DelayScenarios::recall);
        add("line-66", PopScenarios::pollingIsFull);
        add("line-61", PopScenarios::everyBrokerToEveryMember);
        add("line-78", TraceScenarios::traceIsFound);
        add("line-32", TraceScenarios::regionAndSwitch);
        add("line-79", GroupScenarios::secondHeartbeat);
        add("line-1", WireScenarios::bothEncodings);
        add("line-2", WireScenarios::onewayIsNotAnswered);
        add("line-3", WireScenarios::unknownCode);
        add("line-4", WireScenarios::heartbeatAnswer);
        add("line-7", WireScenarios::proxyPreamble);
        add("line-8", RouteScenarios::topicIsCreatedBySend);
        add("line-9", RouteScenarios::topicIsNotCreated);
        add("line-11", RouteScenarios::clusterAndBrokerTopics);
        add("line-14", RouteScenarios::orderTopic);
        add("line-15", SendScenarios::syncResult);
        add("line-16", SendScenarios::compressedBodies);
        add("line-19", SendScenarios::refusals);
        add("line-21", SendScenarios::onewayBeforeShutdown);
        add("line-22", SendScenarios::batch);
        add("line-23", BatchScenarios::innerBatch);
        add("line-24", BatchScenarios::automaticBatches);
        add("line-30", RequestScenarios::reply);
        add("line-31", RequestScenarios::replyByAnyBroker);
        add("line-33", SendScenarios::goToJava);
        add("line-36", PushScenarios::newGroupStartsAtZero);
        add("line-38", PushScenarios::queuesAreShared);
        add("line-40", PushScenarios::tagFilter);
        add("line-41", GroupScenarios::sqlFilter);
        add("line-45", RetryScenarios::deadLetter);
        add("line-47", RetryScenarios::clientMaximumCounts);
        add("line-49", GroupScenarios::consumptionIsSwitched);
        add("line-50", PushScenarios::broadcasting);
        add("line-51", OrderlyScenarios::suspendKeepsOrder);
        add("line-52", OrderlyScenarios::shutdownUnlocks);
        add("line-55", GroupScenarios::clientIsAsked);
        add("line-60", OrderlyScenarios::javaAndGoShare);
        add("line-64", PopScenarios::staleHandles);
        add("line-67", PullScenarios::liteAssign);
        add("line-68", PullScenarios::liteSeek);
        add("line-69", PullScenarios::blockingPull);
        add("line-70", RouteScenarios::topicIsVisibleAndDeleted);
        add("line-72", AdminScenarios::queries);
        add("line-73", AdminScenarios::statistics);
        add("line-74", AdminScenarios::connections);
        add("line-77", GroupScenarios::namespaces);
        add("lmq", PullScenarios::lightQueues);
        add("latency", PushScenarios::latency).alone();
    }
}
