package compat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.common.RemotingHelper;

/** What a producer gets back, and what is stored. */
final class SendScenarios {
    private static final int TYPE_MASK = 0x700;
    private static final int MIB = 1 << 20;

    private SendScenarios() {}

    static void syncResult(Context c) throws Exception {
        c.createTopic(4);
        Map<Integer, Long> next = new HashMap<>();
        long lastPhysical = -1;
        for (int i = 0; i < 20; i++) {
            SendResult result = c.producer.send(c.message("body" + i));
            Check.equal("status", SendStatus.SEND_OK, result.getSendStatus());
            Check.that(result.getMsgId().matches("[0-9A-F]{32}"), "id " + result.getMsgId());
            Check.that(result.getOffsetMsgId().matches("[0-9A-F]{32}"),
                    "offset id " + result.getOffsetMsgId());
            Check.equal("transaction id", result.getMsgId(), result.getTransactionId());
            int queue = result.getMessageQueue().getQueueId();
            Check.equal("offset in queue " + queue, next.getOrDefault(queue, 0L),
                    result.getQueueOffset());
            next.put(queue, result.getQueueOffset() + 1);
            var id = MessageDecoder.decodeMessageId(result.getOffsetMsgId());
            Check.equal("address", c.settings.brokerA,
                    RemotingHelper.parseSocketAddressAddr(id.getAddress()));
            Check.that(id.getOffset() > lastPhysical, "log offsets do not grow");
            lastPhysical = id.getOffset();
            String body = "body" + i;
            Check.eventually(5000, "body at the offset id", body,
                    () -> new String(c.admin.viewMessage(c.topic, result.getOffsetMsgId())
                            .getBody()));
        }
        Check.equal("queues used", 4, next.size());
    }

    static void compressedBodies(Context c) throws Exception {
        c.createTopic(1);
        Inbox inbox = c.consume(c.group);
        String body = "a long and boring body ".repeat(1000);
        Map<String, Integer> types = Map.of("LZ4", 0x100, "ZSTD", 0x200, "ZLIB", 0x300);
        for (String type : types.keySet()) {
            var producer = compressing(c, type);
            Message message = new Message(c.topic, type, body.getBytes(StandardCharsets.UTF_8));
            Check.equal("send", SendStatus.SEND_OK, producer.send(message).getSendStatus());
        }
        for (Inbox.Arrival arrival : inbox.awaitExactly(3, 20_000, 0)) {
            MessageExt message = arrival.message;
            Check.equal("compression bits of " + message.getTags(), types.get(message.getTags()),
                    message.getSysFlag() & TYPE_MASK);
            Check.that(message.getStoreSize() < 4096, "stored " + message.getStoreSize());
            Check.that(body.equals(arrival.body()), "body differs: " + message.getTags());
        }
    }

    /** The property is read once, when the producer is made. */
    private static synchronized DefaultMQProducer compressing(Context c, String type)
            throws Exception {
        System.setProperty("rocketmq.message.compressType", type);
        try {
            return c.producer("_" + type);
        } finally {
            System.clearProperty("rocketmq.message.compressType");
        }
    }

    static void refusals(Context c) throws Exception {
        c.createTopic(2);
        var producer = c.settings.producer(c.group);
        producer.setMaxMessageSize(8 * MIB);
        producer.setCompressMsgBodyOverHowmuch(16 * MIB);
        producer.start();
        c.closing(producer::shutdown);
        Message large = new Message(c.topic, new byte[4 * MIB + 1]);
        Check.equal("body of 4 MiB + 1", 13, refusal(producer, large, c, 0));
        Message properties = c.message("small");
        properties.putUserProperty("p", "x".repeat(32_767));
        Check.equal("properties over 32767", 13, refusal(producer, properties, c, 0));
        Check.equal("queue 2 of 2", 29, refusal(producer, c.message("out of range"), c, 2));
        Check.equal("stored", 0L, c.stored(c.topic, 2));
        Message largest = new Message(c.topic, new byte[4 * MIB]);
        Check.equal("body of 4 MiB", SendStatus.SEND_OK,
                producer.send(largest, c.queue(0)).getSendStatus());

        // Permissions: 2 = write only, 4 = read only.
        String writeOnly = c.topic + "_w";
        c.createTopic(c.settings.brokerA, writeOnly, 1, 2);
        Check.equal("pull without read permission", 16, c.wire(c.settings.brokerA)
                .call(Pull.of(c.group, writeOnly, 0).request()).getCode());
        String readOnly = c.topic + "_r";
        c.createTopic(c.settings.brokerA, readOnly, 1, 4);
        Check.thrown("send to a topic whose route hides it", MQClientException.class,
                () -> producer.send(new Message(readOnly, new byte[1])));
    }

    private static int refusal(DefaultMQProducer producer,
            Message message, Context c, int queueId) {
        return Check.thrown("send", MQBrokerException.class,
                () -> producer.send(message, c.queue(queueId))).getResponseCode();
    }

    static void onewayBeforeShutdown(Context c) throws Exception {
        c.createTopic(4);
        var producer = c.settings.producer(c.group);
        producer.start();
        producer.fetchPublishMessageQueues(c.topic);
        for (int i = 0; i < 200; i++) {
            producer.sendOneway(c.message("oneway" + i));
        }
        producer.shutdown();
        Check.eventually(5000, "messages stored", 200L, () -> c.stored(c.topic, 4));
    }

    static void batch(Context c) throws Exception {
        c.createTopic(1);
        List<Message> messages = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            byte[] body = ("batch" + i).getBytes(StandardCharsets.UTF_8);
            messages.add(new Message(c.topic, "tag" + i % 3, "key" + i, body));
        }
        c.send(0, "before");
        SendResult result = c.producer.send(messages, c.queue(0));
        Check.equal("status", SendStatus.SEND_OK, result.getSendStatus());
        Check.equal("offset of the first", 1L, result.getQueueOffset());
        String[] ids = result.getMsgId().split(",");
        Check.equal("message ids", 100, ids.length);
        String[] offsetIds = result.getOffsetMsgId().split(",");
        Check.equal("offset ids", 100, offsetIds.length);
        for (int i = 0; i < 100; i += 33) {
            var stored = c.admin.viewMessage(c.topic, offsetIds[i]);
            Check.equal("body " + i, "batch" + i, new String(stored.getBody()));
            Check.equal("its queue offset", i + 1L, stored.getQueueOffset());
        }
        Inbox inbox = c.consume(c.group);
        List<Inbox.Arrival> got = inbox.awaitExactly(101, 20_000, 100);
        var byOffset = new ArrayList<>(got);
        byOffset.sort((x, y) -> Long.compare(x.message.getQueueOffset(),
                y.message.getQueueOffset()));
        for (int i = 0; i < 100; i++) {
            MessageExt message = byOffset.get(i + 1).message;
            Check.equal("offset", i + 1L, message.getQueueOffset());
            Check.equal("body", "batch" + i, byOffset.get(i + 1).body());
            Check.equal("tag", "tag" + i % 3, message.getTags());
            Check.equal("key", "key" + i, message.getKeys());
            String unique = message.getProperty("UNIQ_KEY");
            // Java quirk: a 5.x client puts an id into the request too, and that one is stored.
            boolean own = c.settings.client.startsWith("4") ? ids[i].equals(unique)
                    : unique != null && unique.matches("[0-9A-F]{32}");
            Check.that(own, "UNIQ_KEY " + unique + " of message " + i);
        }
    }

    static void goToJava(Context c) throws Exception {
        c.createTopic(2);
        Inbox inbox = c.consume(c.group);
        Peer go = c.goPeer("producer", c.topic, c.group + "_go");
        go.awaitReady();
        String large = "compressed by Go ".repeat(600).trim();
        for (String line : List.of("SEND " + c.topic + " sync", "ASYNC " + c.topic + " async",
                "ONEWAY " + c.topic + " oneway", "BATCH " + c.topic + " b0 b1 b2",
                "SEND " + c.topic + " " + large)) {
            go.command(line);
        }
        inbox.awaitExactly(7, 20_000, 200);
        Check.equal("bodies", new TreeSet<>(Arrays.asList(
                "sync", "async", "oneway", "b0", "b1", "b2", large)),
                new TreeSet<>(inbox.bodies()));
        List<MessageExt> compressed = inbox.all().stream()
                .filter(arrival -> arrival.body().equals(large))
                .map(arrival -> arrival.message).collect(Collectors.toList());
        Check.that(compressed.get(0).getStoreSize() < 4096, "not stored compressed");
    }
}
