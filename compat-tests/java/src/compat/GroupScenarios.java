package compat;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** What a group is told, asked and allowed while it consumes. */
final class GroupScenarios {
    private GroupScenarios() {}

    static void sqlFilter(Context c) throws Exception {
        c.createTopic(1);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = c.consumer();
        consumer.subscribe(c.topic, MessageSelector.bySql(
                "(a BETWEEN 2 AND 4 AND region IN ('north', 'south')) OR urgent = TRUE"));
        consumer.registerMessageListener(inbox.concurrently());
        c.start(consumer);
        for (int a = 0; a < 6; a++) {
            for (String region : List.of("north", "west")) {
                Message message = c.message(region + a);
                message.putUserProperty("a", String.valueOf(a));
                message.putUserProperty("region", region);
                c.producer.send(message, c.queue(0));
            }
        }
        Message urgent = c.message("urgent");
        urgent.putUserProperty("urgent", "true");
        c.producer.send(urgent, c.queue(0));
        c.send(0, "without properties");
        inbox.awaitExactly(4, 20_000, 500);
        Check.equal("consumed", Set.of("north2", "north3", "north4", "urgent"),
                Set.copyOf(inbox.bodies()));
        // What the broker filters out behind the last match is passed in memory only.
        Check.eventually(10_000, "committed", true, () -> c.committedSum(c.group, 1) >= 13);
        for (String illegal : List.of("a >", "a BETWEEN 4 AND 2 AND", "a = = 1")) {
            DefaultMQPushConsumer refused = c.settings.consumer(c.group + "_refused");
            refused.subscribe(c.topic, MessageSelector.bySql(illegal));
            refused.registerMessageListener(new Inbox().concurrently());
            int code = Check.thrown("start with " + illegal, MQClientException.class, () -> {
                refused.start();
                return "started";
            }).getResponseCode();
            Check.equal("code of " + illegal, 23, code);
        }
    }

    static void consumptionIsSwitched(Context c) throws Exception {
        c.createTopic(1);
        Inbox inbox = c.consume(c.group);
        c.send(0, "before");
        inbox.await(1, 20_000);
        allow(c, false);
        Wire wire = c.wire(c.settings.brokerA);
        Check.eventually(3000, "pull while off", 16, () -> wire.call(
                Pull.of(c.group, c.topic, 0).request()).getCode());
        // The pull that was held when the switch came is answered like any other.
        c.send(0, "wakes the held pull");
        Thread.sleep(300);
        int early = inbox.size();
        c.send(0, "waits");
        Thread.sleep(1500);
        Check.equal("consumed while off", early, inbox.size());
        allow(c, true);
        inbox.awaitExactly(3, 4000, 200);
        Check.equal("pull while on", 0, wire.call(
                Pull.of(c.group, c.topic, 0).request()).getCode());
    }

    private static void allow(Context c, boolean consume) throws Exception {
        var config = new Shim.GroupConfig();
        config.setGroupName(c.group);
        config.setConsumeEnable(consume);
        c.admin.createAndUpdateSubscriptionGroupConfig(c.settings.brokerA, config);
    }

    static void offsetIsReset(Context c) throws Exception {
        c.createTopic(1);
        List<String> old = c.sendMany("old", 3, 1);
        Thread.sleep(1100);
        long between = System.currentTimeMillis();
        List<String> recent = c.sendMany("recent", 3, 1);
        Inbox inbox = c.consume(c.group);
        inbox.awaitExactly(6, 20_000, 0);
        Check.eventually(15_000, "committed", 6L, () -> c.committedSum(c.group, 1));
        c.admin.resetOffsetByTimestamp(c.topic, c.group, between, true);
        // Older clients drop their queues for 10 s and take them at their next rebalance.
        inbox.awaitExactly(9, 50_000, 500);
        List<String> all = new ArrayList<>(old);
        all.addAll(recent);
        all.addAll(recent);
        Collections.sort(all);
        Check.equal("consumed", all, inbox.bodies().stream().sorted()
                .collect(Collectors.toList()));
        Check.eventually(15_000, "committed again", 6L, () -> c.committedSum(c.group, 1));

        // A group that is away finds the new offset when it pulls, whatever it commits before.
        String away = c.group + "_away";
        var config = new Shim.GroupConfig();
        config.setGroupName(away);
        c.admin.createAndUpdateSubscriptionGroupConfig(c.settings.brokerA, config);
        c.admin.updateConsumeOffset(c.settings.brokerA, away, c.queue(0), 6);
        Wire wire = c.wire(c.settings.brokerA);
        RemotingCommand reset = wire.call(Wire.request(222, "topic", c.topic, "group", away,
                "timestamp", between, "isForce", true));
        Check.equal("reset", 0, reset.getCode());
        Check.equal("commit", 0, wire.call(Wire.request(15, "consumerGroup", away,
                "topic", c.topic, "queueId", 0, "commitOffset", 5)).getCode());
        Check.equal("offset", 3L, c.committed(away, c.topic, 0));
        RemotingCommand pulled = wire.call(Pull.of(away, c.topic, 0).from(6).request());
        Check.equal("pull", 21, pulled.getCode());
        Check.equal("where to go on", "3", Wire.field(pulled, "nextBeginOffset"));
        Check.equal("pull there", 3, Pull.messages(
                wire.call(Pull.of(away, c.topic, 0).from(3).request())).size());
    }

    static void clientIsAsked(Context c) throws Exception {
        c.createTopic(2);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = c.consumer();
        consumer.subscribe(c.topic, "*");
        consumer.registerMessageListener(inbox.concurrently());
        c.start(consumer);
        SendResult sent = c.send(1, "again");
        inbox.awaitExactly(1, 20_000, 0);
        String client = consumer.getDefaultMQPushConsumerImpl().getmQClientFactory()
                .getClientId();
        var info = c.admin.getConsumerRunningInfo(c.group, client, false);
        Check.equal("type", "CONSUME_PASSIVELY",
                info.getProperties().getProperty("PROP_CONSUME_TYPE"));
        Check.that(info.getMqTable().keySet().containsAll(List.of(c.queue(0), c.queue(1))),
                "queues are " + info.getMqTable().keySet());
        Check.that(info.getSubscriptionSet().stream().anyMatch(
                data -> data.getTopic().equals(c.topic)), "the subscription is missing");
        var stacks = c.admin.getConsumerRunningInfo(c.group, client, true);
        Check.that(stacks.getJstack().contains("PullMessageService"), "no stacks");
        var result = c.admin.consumeMessageDirectly(c.group, client, c.topic, sent.getMsgId());
        Check.equal("consumed directly", "CR_SUCCESS", result.getConsumeResult().name());
        Check.equal("bodies", List.of("again", "again"), inbox.bodies());
        var status = c.admin.getConsumeStatus(c.topic, c.group, client).get(client);
        Check.equal("offset in the client", 1L, status.get(c.queue(1)));

        Check.equal("running info of an absent client", 1, codeOf(() ->
                c.admin.getConsumerRunningInfo(c.group, client + "_absent", false)));
        Check.equal("consume by an absent client", 1, codeOf(() -> c.admin.consumeMessageDirectly(
                c.group, client + "_absent", c.topic, sent.getMsgId())));
    }

    /** The response code of what {@code action} throws. */
    private static int codeOf(Callable<?> action) {
        Exception thrown = Check.thrown("request", Exception.class, action);
        return thrown instanceof MQBrokerException
                ? ((MQBrokerException) thrown).getResponseCode()
                : ((MQClientException) thrown).getResponseCode();
    }

    @SuppressWarnings("deprecation")
    static void namespaces(Context c) throws Exception {
        String space = "MQ_INST_" + c.group;
        c.createTopic(1);
        c.createTopic(c.settings.brokerA, space + "%" + c.topic, 1, 6);
        Inbox outside = c.consume(c.group);
        Inbox inside = new Inbox();
        DefaultMQPushConsumer consumer = c.consumer();
        consumer.setNamespace(space);
        consumer.setInstanceName(c.group + "_inside");
        consumer.subscribe(c.topic, "*");
        consumer.registerMessageListener(inside.concurrently());
        consumer.start();
        // At the latest with its second rebalance, 20 s after the first.
        Check.eventually(45_000, "queue of the consumer inside", true, () -> consumer
                .getDefaultMQPushConsumerImpl().getRebalanceImpl().getProcessQueueTable().keySet()
                .stream().anyMatch(queue -> queue.getTopic().equals(space + "%" + c.topic)));
        DefaultMQProducer producer = c.settings.producer(c.group + "_producer");
        producer.setNamespace(space);
        producer.start();
        c.closing(producer::shutdown);
        producer.send(c.message("inside"));
        c.send(0, "outside");
        inside.awaitExactly(1, 20_000, 300);
        outside.awaitExactly(1, 20_000, 300);
        Check.equal("inside", List.of("inside"), inside.bodies());
        Check.equal("outside", List.of("outside"), outside.bodies());
        Check.equal("topic shown", c.topic, inside.all().get(0).message.getTopic());
        Check.equal("stored", List.of(1L, 1L), List.of(
                c.stored(c.topic, 1), c.stored(space + "%" + c.topic, 1)));
        Check.eventually(10_000, "offset of the group inside", 1L,
                () -> c.committed(space + "%" + c.group, space + "%" + c.topic, 0));
        Check.eventually(5000, "members of the group inside", 1, () -> c.admin
                .examineConsumerConnectionInfo(space + "%" + c.group).getConnectionSet().size());
    }

    static void secondHeartbeat(Context c) throws Exception {
        c.createTopic(1);
        String other = c.topic + "_other";
        c.createTopic(c.settings.brokerA, other, 1, 6);
        Answers beats = new Answers(34);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(
                c.group, beats, new AllocateMessageQueueAveragely());
        consumer.setNamesrvAddr(c.settings.nameServer);
        consumer.setInstanceName(c.group);
        consumer.setHeartbeatBrokerInterval(2000);
        consumer.setPollNameServerInterval(5000);
        Shim.heartbeatV2(consumer);
        consumer.subscribe(c.topic, "a || b");
        consumer.registerMessageListener(inbox.concurrently());
        c.closing(consumer::shutdown);
        c.start(consumer);
        Check.eventually(15_000, "a heartbeat without subscriptions", true, () -> beats.bodies()
                .stream().anyMatch(body -> body.contains("\"withoutSub\":true")));
        Check.that(beats.fields("IS_SUPPORT_HEART_BEAT_V2").contains("true"),
                "answers " + beats.fields("IS_SUPPORT_HEART_BEAT_V2"));
        Check.that(beats.fields("IS_SUB_CHANGE").contains("false"),
                "answers " + beats.fields("IS_SUB_CHANGE"));
        c.producer.send(new Message(c.topic, "a", "first".getBytes()), c.queue(0));
        // A client that beats while it rebalances does not send its new subscription version;
        // until it does, its pulls are refused: with Java's broker until the next rebalance.
        inbox.await(1, 45_000);
        consumer.subscribe(other, "*");
        Check.eventually(15_000, "subscriptions", Set.of("a || b", "*"), () -> {
            var table = c.admin.examineConsumerConnectionInfo(c.group).getSubscriptionTable();
            return Set.of(table.get(c.topic).getSubString(), table.get(other).getSubString());
        });
        c.producer.send(new Message(other, "second".getBytes()));
        inbox.awaitExactly(2, 40_000, 200);
        Check.equal("consumed", new TreeSet<>(List.of("first", "second")),
                new TreeSet<>(inbox.bodies()));
    }
}
