package compat;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.TransactionSendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;

/** Transactional messages: the brokers here check after 3 s, every 5 s, three times at most. */
final class TransactionScenarios {
    private static final String GIVEN_UP = "TRANS_CHECK_MAX_TIME_TOPIC";

    private TransactionScenarios() {}

    /** Decides by the body: the word before the blank at once, the one behind it when asked. */
    static final class Decider implements TransactionListener {
        /** The times in ns at which each body was asked for. */
        final Map<String, List<Long>> checks = new ConcurrentHashMap<>();

        @Override
        public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
            return state(body(message).split(" ")[0]);
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt message) {
            checks.computeIfAbsent(body(message), any -> new ArrayList<>())
                    .add(System.nanoTime());
            return state(body(message).split(" ")[1]);
        }

        private static LocalTransactionState state(String word) {
            switch (word) {
                case "commit":
                    return LocalTransactionState.COMMIT_MESSAGE;
                case "rollback":
                    return LocalTransactionState.ROLLBACK_MESSAGE;
                default:
                    return LocalTransactionState.UNKNOW;
            }
        }
    }

    private static String body(Message message) {
        return new String(message.getBody(), StandardCharsets.UTF_8);
    }

    static TransactionMQProducer started(Context.Settings settings, String group, String instance,
            TransactionListener listener) throws Exception {
        TransactionMQProducer producer = new TransactionMQProducer(group);
        producer.setNamesrvAddr(settings.nameServer);
        producer.setInstanceName(instance);
        producer.setSendMsgTimeout(10_000);
        producer.setHeartbeatBrokerInterval(2000);
        producer.setTransactionListener(listener);
        producer.start();
        return producer;
    }

    static void everyOutcome(Context c) throws Exception {
        c.createTopic(2);
        Inbox inbox = c.consume(c.group);
        Decider decider = new Decider();
        var producer = started(c.settings, c.group + "_tx", c.group, decider);
        c.closing(producer::shutdown);
        long start = System.nanoTime();
        List<String> bodies = List.of("commit never", "rollback never", "unknown commit",
                "unknown rollback", "unknown unknown");
        TransactionSendResult last = null;
        for (String body : bodies) {
            Message message = new Message(c.topic, "tag", "key " + body, body.getBytes());
            last = producer.sendMessageInTransaction(message, null);
            Check.equal("status", SendStatus.SEND_OK, last.getSendStatus());
        }
        String openId = last.getTransactionId();
        // In the store: a consumer whose pull came before its heartbeat is 3 s late.
        Check.eventually(2000, "visible at once", 1L, () -> c.stored(c.topic, 2));
        inbox.await(2, 15_000);
        for (String asked : List.of("unknown commit", "unknown rollback", "unknown unknown")) {
            Check.eventually(2000, "checked: " + asked, true,
                    () -> decider.checks.containsKey(asked));
            long after = (decider.checks.get(asked).get(0) - start) / 1_000_000;
            Check.between("ms to the check of " + asked, 2900, 10_500, after);
        }
        Check.eventually(40_000, "given up", List.of("unknown unknown"), () -> givenUp(c, openId));
        Check.equal("checks of what was given up", 3,
                decider.checks.get("unknown unknown").size());
        for (String settled : List.of("commit never", "rollback never")) {
            Check.equal("checks of " + settled, null, decider.checks.get(settled));
        }
        inbox.awaitExactly(2, 0, 500);
        Check.equal("visible in the end", new TreeSet<>(List.of("commit never", "unknown commit")),
                new TreeSet<>(inbox.bodies()));
        for (Inbox.Arrival arrival : inbox.all()) {
            MessageExt message = arrival.message;
            Check.equal("tag", "tag", message.getTags());
            Check.equal("key", "key " + arrival.body(), message.getKeys());
            Check.equal("transaction id", message.getProperty("UNIQ_KEY"),
                    message.getTransactionId());
        }
    }

    /** What of the transaction {@code id} lies in the topic of those given up. */
    private static List<String> givenUp(Context c, String id) throws Exception {
        long end = c.stored(GIVEN_UP, 1);
        List<MessageExt> found = new ArrayList<>();
        try (Wire wire = new Wire(c.settings.brokerA)) {
            for (long from = 0; from < end;) {
                var answer = wire.call(Pull.of(c.group, GIVEN_UP, 0).from(from).request());
                if (answer.getCode() != 0) {
                    break;
                }
                found.addAll(MessageDecoder.decodes(ByteBuffer.wrap(answer.getBody())));
                from = Long.parseLong(Wire.field(answer, "nextBeginOffset"));
            }
        }
        return found.stream().filter(message -> id.equals(message.getProperty("UNIQ_KEY")))
                .map(TransactionScenarios::body).collect(Collectors.toList());
    }

    /** The sender is killed; another live member of its group is asked instead. */
    static void anotherMemberIsAsked(Context c) throws Exception {
        c.createTopic(1);
        Inbox inbox = c.consume(c.group);
        String group = c.group + "_tx";
        Peer sender = c.javaPeer(List.of(), "transaction", c.topic, group);
        sender.awaitReady();
        Decider decider = new Decider();
        var survivor = started(c.settings, group, c.group, decider);
        c.closing(survivor::shutdown);
        // Its first contact with the broker registers it.
        survivor.send(c.message("hello"));
        sender.send(c.topic, "unknown commit");
        sender.await(1, "SENT", 10_000);
        sender.kill();
        inbox.awaitExactly(2, 25_000, 500);
        Check.equal("consumed", List.of("hello", "unknown commit"), inbox.bodies());
        Check.equal("checks", 1, decider.checks.get("unknown commit").size());
    }
}
