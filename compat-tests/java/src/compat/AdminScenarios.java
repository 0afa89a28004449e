package compat;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** What the admin client of each version asks. */
final class AdminScenarios {
    private static final int TOPICS = 2100;

    private AdminScenarios() {}

    static void manyTopics(Context c) throws Exception {
        String name = "broker-" + c.group;
        String address = c.runner.startBroker(name);
        c.closing(() -> c.runner.killBroker(name));
        String configs = IntStream.range(0, TOPICS).mapToObj(i -> "{\"topicName\":\"" + c.topic
                + "_" + i + "\",\"readQueueNums\":1,\"writeQueueNums\":1,\"perm\":6,"
                + "\"topicFilterType\":\"SINGLE_TAG\",\"topicSysFlag\":0,\"order\":false}")
                .collect(Collectors.joining(","));
        Wire wire = c.wire(address);
        RemotingCommand created = wire.call(
                Wire.withBody(Wire.request(18), "{\"topicConfigList\":[" + configs + "]}"), 60_000);
        Check.equal("creation of " + TOPICS + " topics", 0, created.getCode());
        Set<String> listed = c.admin.getAllTopicConfig(address, 30_000).getTopicConfigTable()
                .keySet().stream().filter(topic -> topic.startsWith(c.topic))
                .collect(Collectors.toCollection(TreeSet::new));
        Check.equal("topics that the tool lists", TOPICS, listed.size());
        if (c.settings.control) {
            return; // The control is older than the paging.
        }
        RemotingCommand page = wire.call(page(0, ""));
        int first = listedIn(c, page);
        Check.that(first < TOPICS, "the first page is everything");
        String body = new String(page.getBody(), StandardCharsets.UTF_8);
        Matcher version = Pattern.compile("\"dataVersion\":(\\{[^}]*\\})").matcher(body);
        Check.that(version.find(), "the page has no version: " + body.substring(0, 100));
        RemotingCommand rest = wire.call(page(2000, version.group(1)));
        int total = Integer.parseInt(Wire.field(rest, "totalTopicNum"));
        Check.that(total >= TOPICS, "totalTopicNum is " + total);
        Check.equal("topics of both pages", TOPICS, first + listedIn(c, rest));
    }

    private static RemotingCommand page(int sequence, String version) {
        return Wire.request(21, "topicSeq", sequence, "maxTopicNum", 2000, "dataVersion", version);
    }

    private static int listedIn(Context c, RemotingCommand answer) {
        Check.equal("page", 0, answer.getCode());
        String body = new String(answer.getBody(), StandardCharsets.UTF_8);
        return body.split("\"topicName\":\"" + c.topic + "_", -1).length - 1;
    }

    static void queries(Context c) throws Exception {
        c.createTopic(2);
        String other = c.topic + "_other";
        c.createTopic(c.settings.brokerA, other, 1, 6);
        String key = "order-" + c.group;
        c.producer.send(new Message(other, "", key, "elsewhere".getBytes()));
        SendResult sent = c.producer.send(
                new Message(c.topic, "", key + " second", "b".getBytes()));
        c.producer.send(new Message(c.topic, "", "unrelated", "c".getBytes()));
        long begin = System.currentTimeMillis() - 60_000;
        for (String wanted : List.of(key, "second")) {
            Check.eventually(10_000, "bodies with key " + wanted, List.of("b"),
                    () -> c.admin.queryMessage(c.topic, wanted, 32, begin, Long.MAX_VALUE)
                            .getMessageList().stream().map(m -> new String(m.getBody()))
                            .collect(Collectors.toList()));
        }
        MessageExt byUniqueKey = c.admin.viewMessage(c.topic, sent.getMsgId());
        Check.equal("by UNIQ_KEY", "b", new String(byUniqueKey.getBody()));
        MessageExt byOffset = c.admin.viewMessage(c.topic, sent.getOffsetMsgId());
        Check.equal("by offset id", "b", new String(byOffset.getBody()));
        Check.equal("its UNIQ_KEY", sent.getMsgId(), byOffset.getProperty("UNIQ_KEY"));
        Check.equal("its queue offset", sent.getQueueOffset(), byOffset.getQueueOffset());
        Check.thrown("a key that no message has", MQClientException.class,
                () -> c.admin.queryMessage(c.topic, "absent", 32, begin, Long.MAX_VALUE));
    }

    static void statistics(Context c) throws Exception {
        c.createTopic(2);
        c.sendMany("m", 10, 2);
        Inbox inbox = new Inbox();
        var consumer = c.consumer();
        consumer.subscribe(c.topic, "*");
        consumer.registerMessageListener(inbox.concurrently());
        consumer.start();
        inbox.await(10, 20_000);
        // Shutdown commits what the listener has returned from.
        Check.eventually(5000, "messages in work", 0L, () -> consumer.getDefaultMQPushConsumerImpl()
                .getRebalanceImpl().getProcessQueueTable().values().stream()
                .mapToLong(queue -> queue.getMsgCount().get()).sum());
        consumer.shutdown();
        Check.eventually(10_000, "committed", 10L, () -> c.committedSum(c.group, 2));
        c.sendMany("n", 6, 2);
        Check.eventually(5000, "lag of queue 0", List.of(8L, 5L), () -> {
            var stats = c.admin.examineConsumeStats(c.group).getOffsetTable().get(c.queue(0));
            return List.of(stats.getBrokerOffset(), stats.getConsumerOffset());
        });
        var stats = c.admin.examineConsumeStats(c.group, c.topic);
        Check.equal("total lag", 6L, stats.computeTotalDiff());
        var offsets = c.admin.examineTopicStats(c.topic).getOffsetTable();
        Check.equal("queues", Set.of(c.queue(0), c.queue(1)), offsets.keySet());
        Check.equal("min offset", 0L, offsets.get(c.queue(1)).getMinOffset());
        Check.equal("max offset", 8L, offsets.get(c.queue(1)).getMaxOffset());
        long age = System.currentTimeMillis() - offsets.get(c.queue(1)).getLastUpdateTimestamp();
        Check.between("age of the last message", 0, 60_000, age);
    }

    static void connections(Context c) throws Exception {
        c.createTopic(1);
        var consumer = c.consumer();
        consumer.subscribe(c.topic, "a || b");
        consumer.registerMessageListener(new Inbox().concurrently());
        consumer.start();
        String clientId = consumer.getDefaultMQPushConsumerImpl().getmQClientFactory()
                .getClientId();
        Check.eventually(10_000, "client of the group", clientId, () -> c.admin
                .examineConsumerConnectionInfo(c.group).getConnectionSet().iterator().next()
                .getClientId());
        var info = c.admin.examineConsumerConnectionInfo(c.group);
        Check.equal("connections", 1, info.getConnectionSet().size());
        var connection = info.getConnectionSet().iterator().next();
        Check.that(connection.getClientAddr().matches("127\\.0\\.0\\.1:\\d+"),
                "address " + connection.getClientAddr());
        Check.equal("language", "JAVA", connection.getLanguage().name());
        Check.equal("version", Wire.request(0).getVersion(), connection.getVersion());
        Check.equal("type", "CONSUME_PASSIVELY", info.getConsumeType().name());
        Check.equal("model", "CLUSTERING", info.getMessageModel().name());
        Check.equal("start", "CONSUME_FROM_LAST_OFFSET", info.getConsumeFromWhere().name());
        Check.equal("subscription", "a || b",
                info.getSubscriptionTable().get(c.topic).getSubString());
        Check.that(info.getSubscriptionTable().containsKey("%RETRY%" + c.group),
                "subscriptions are " + info.getSubscriptionTable().keySet());

        var producer = c.producer("_producer");
        producer.send(c.message("hello"));
        String group = producer.getProducerGroup();
        String producerId = producer.getDefaultMQProducerImpl().getMqClientFactory().getClientId();
        Check.eventually(10_000, "client of the producer group", producerId, () -> c.admin
                .examineProducerConnectionInfo(group, c.topic).getConnectionSet().iterator().next()
                .getClientId());
    }

    /** A broker that stops gracefully turns new clients away and disturbs no sender. */
    static void gracefulStop(Context c) throws Exception {
        String name = "broker-" + c.group;
        String address = c.runner.startBroker(name);
        c.createTopic(2);
        c.createTopic(address, c.topic, 2, 6);
        var producer = c.producer("_producer");
        Check.eventually(10_000, "broker used", name, () -> producer.send(c.message("before"))
                .getMessageQueue().getBrokerName());
        Wire modern = c.wire(address);
        Wire old = c.wire(address);
        Check.equal("before the stop", 0, codeOf(modern, c, 479));
        Check.equal("before the stop, old", 0, codeOf(old, c, 317));
        CompletableFuture<String> stopped = c.runner.stopBroker(name);
        AtomicInteger sent = new AtomicInteger();
        CompletableFuture<Void> sender = CompletableFuture.runAsync(() -> {
            while (!stopped.isDone()) {
                try {
                    Check.equal("send", SendStatus.SEND_OK,
                            producer.send(c.message("during")).getSendStatus());
                } catch (Exception e) {
                    throw new IllegalStateException(e);
                }
                sent.incrementAndGet();
            }
        }, Context.THREADS);
        CompletableFuture<Set<Integer>> oldCodes =
                CompletableFuture.supplyAsync(() -> codesUntilClosed(old, c, 317), Context.THREADS);
        Set<Integer> modernCodes = codesUntilClosed(modern, c, 479);
        Check.that(modernCodes.contains(1500), "codes at the stop: " + modernCodes);
        Check.that(!oldCodes.get().contains(1500), "an old client got 1500");
        sender.get();
        Check.that(sent.get() > 0, "nothing was sent meanwhile");
        Check.equal("broker afterwards", "broker-a",
                producer.send(c.message("after")).getMessageQueue().getBrokerName());
    }

    private static int codeOf(Wire wire, Context c, int version) throws Exception {
        RemotingCommand request = Wire.request(30, "topic", c.topic, "queueId", 0);
        request.setVersion(version);
        return wire.call(request).getCode();
    }

    private static Set<Integer> codesUntilClosed(Wire wire, Context c, int version) {
        Set<Integer> codes = new TreeSet<>();
        try {
            while (true) {
                codes.add(codeOf(wire, c, version));
                Thread.sleep(2);
            }
        } catch (Exception closed) {
            return codes;
        }
    }
}
