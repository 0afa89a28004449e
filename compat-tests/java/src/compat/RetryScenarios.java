package compat;

import java.net.InetSocketAddress;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyContext;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Messages that are consumed again, and those that are given up. */
final class RetryScenarios {
    private RetryScenarios() {}

    /** A listener that fails {@code failures} times; {@code level} 0 leaves the delay open. */
    private static MessageListenerConcurrently failing(Inbox inbox, int failures, int level) {
        return new MessageListenerConcurrently() {
            @Override
            public ConsumeConcurrentlyStatus consumeMessage(
                    List<MessageExt> messages, ConsumeConcurrentlyContext context) {
                inbox.add(messages);
                context.setDelayLevelWhenNextConsume(level);
                return inbox.size() <= failures ? ConsumeConcurrentlyStatus.RECONSUME_LATER
                        : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            }
        };
    }

    private static DefaultMQPushConsumer start(Context c, Inbox inbox, int failures, int level,
            int maxReconsumeTimes) throws Exception {
        DefaultMQPushConsumer consumer = c.consumer();
        consumer.setMaxReconsumeTimes(maxReconsumeTimes);
        consumer.subscribe(c.topic, "*");
        consumer.registerMessageListener(failing(inbox, failures, level));
        consumer.start();
        return consumer;
    }

    static void attempts(Context c) throws Exception {
        c.createTopic(1);
        SendResult sent = c.send(0, "again and again");
        retryTopic(c);
        Inbox inbox = new Inbox();
        start(c, inbox, 2, 0, -1);
        List<Inbox.Arrival> got = inbox.awaitExactly(3, 80_000, 0);
        for (int i = 0; i < 3; i++) {
            MessageExt message = got.get(i).message;
            Check.equal("reconsume times", i, message.getReconsumeTimes());
            Check.equal("topic shown", c.topic, message.getTopic());
            Check.equal("body", "again and again", got.get(i).body());
            Check.equal("id", sent.getMsgId(), message.getMsgId());
            Check.equal("original id", i == 0 ? null : sent.getOffsetMsgId(),
                    message.getProperty("ORIGIN_MESSAGE_ID"));
        }
        Check.between("ms to the first retry", 9_000, 12_500, millisBetween(got, 0));
        Check.between("ms to the second retry", 29_000, 32_500, millisBetween(got, 1));
    }

    /**
     * Creates the retry topic before the heartbeat does, so that the consumer finds its route at
     * start: otherwise it takes the queue up to 20 s later, at its next rebalance.
     */
    private static void retryTopic(Context c) throws Exception {
        c.createTopic(c.settings.brokerA, "%RETRY%" + c.group, 1, 6);
    }

    private static long millisBetween(List<Inbox.Arrival> got, int index) {
        return (got.get(index + 1).nanos - got.get(index).nanos) / 1_000_000;
    }

    static void deadLetter(Context c) throws Exception {
        c.createTopic(1);
        c.send(0, "poison");
        Inbox inbox = new Inbox();
        start(c, inbox, Integer.MAX_VALUE, 1, 1);
        inbox.await(2, 30_000);
        MessageExt dead = deadLetters(c, 1).get(0);
        Check.equal("body", "poison", new String(dead.getBody()));
        Check.equal("original topic", c.topic, dead.getProperty("RETRY_TOPIC"));
        Check.equal("attempts", 2, inbox.awaitExactly(2, 0, 500).size());
    }

    /** The dead letters of the scenario's group, read with a pull consumer. */
    static List<MessageExt> deadLetters(Context c, int count) throws Exception {
        String topic = "%DLQ%" + c.group;
        Check.eventually(20_000, "dead letters", (long) count, () -> c.stored(topic, 1));
        DefaultMQPullConsumer reader = new DefaultMQPullConsumer(c.group + "_reader");
        reader.setNamesrvAddr(c.settings.nameServer);
        reader.start();
        c.closing(reader::shutdown);
        MessageQueue queue = new MessageQueue(topic, "broker-a", 0);
        Check.eventually(5000, "queues of the dead letters", true,
                () -> reader.fetchSubscribeMessageQueues(topic).contains(queue));
        PullResult result = reader.pull(queue, "*", 0, 32);
        Check.equal("pull", PullStatus.FOUND, result.getPullStatus());
        Check.equal("dead letters read", count, result.getMsgFoundList().size());
        return result.getMsgFoundList();
    }

    static void sendBackElsewhere(Context c) throws Exception {
        c.createTopic(1);
        retryTopic(c);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = start(c, inbox, 0, 0, -1);
        c.send(0, "original");
        inbox.await(1, 20_000);
        long nowhere = 1L << 50;
        var answer = c.wire(c.settings.brokerB).call(Wire.request(36, "offset", nowhere,
                "group", c.group, "delayLevel", 0, "originMsgId", "none", "originTopic", c.topic,
                "unitMode", false, "maxReconsumeTimes", 16));
        // broker-b does not know the group from a heartbeat, but creates it.
        Check.equal("send-back to a broker without the message", 1, answer.getCode());
        MessageExt lost = inbox.all().get(0).message;
        lost.setCommitLogOffset(nowhere);
        lost.setStoreHost(new InetSocketAddress("127.0.0.1",
                Integer.parseInt(c.settings.brokerA.split(":")[1])));
        consumer.sendMessageBack(lost, 1, "broker-a");
        // The client sends it to the retry topic itself, to be consumed after 10 s.
        Inbox.Arrival again = inbox.awaitExactly(2, 30_000, 0).get(1);
        Check.equal("body", "original", again.body());
        Check.equal("topic shown", c.topic, again.message.getTopic());
        Check.equal("reconsume times", 1, again.message.getReconsumeTimes());
    }

    static void clientMaximumCounts(Context c) throws Exception {
        c.createTopic(1);
        var config = new Shim.GroupConfig();
        config.setGroupName(c.group);
        config.setRetryMaxTimes(1);
        c.admin.createAndUpdateSubscriptionGroupConfig(c.settings.brokerA, config);
        c.send(0, "patient");
        retryTopic(c);
        Inbox inbox = new Inbox();
        start(c, inbox, 3, 1, -1);
        List<Inbox.Arrival> got = inbox.awaitExactly(4, 40_000, 300);
        Check.equal("last reconsume times", 3, got.get(3).message.getReconsumeTimes());
        Check.equal("dead letters", 0L, c.stored("%DLQ%" + c.group, 1));
    }
}
