package compat;

import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** What a traced client leaves behind. broker-b has traceOn=false. */
final class TraceScenarios {
    private static final String SYSTEM_TOPIC = "RMQ_SYS_TRACE_TOPIC";

    private TraceScenarios() {}

    /** A started producer that traces into {@code topic}, or the system's topic if null. */
    private static DefaultMQProducer traced(Context c, String topic) throws Exception {
        String group = c.group + "_traced" + (topic == null ? "" : "_own");
        DefaultMQProducer producer = new DefaultMQProducer(group, null, true, topic);
        producer.setNamesrvAddr(c.settings.nameServer);
        producer.setInstanceName(group);
        producer.setSendMsgTimeout(10_000);
        producer.start();
        c.closing(producer::shutdown);
        return producer;
    }

    /** The kinds of trace records of a message: Pub, SubBefore, SubAfter. */
    private static Set<String> traces(Context c, String topic, String id) throws Exception {
        long begin = System.currentTimeMillis() - 60_000;
        Set<String> kinds = new TreeSet<>();
        for (MessageExt trace : c.admin.queryMessage(topic, id, 32, begin, Long.MAX_VALUE)
                .getMessageList()) {
            String text = new String(trace.getBody(), StandardCharsets.UTF_8);
            for (String record : text.split("\u0002")) {
                List<String> fields = List.of(record.split("\u0001"));
                if (fields.contains(id)) {
                    kinds.add(fields.get(0));
                }
            }
        }
        return kinds;
    }

    static void regionAndSwitch(Context c) throws Exception {
        c.createTopic(1);
        c.createTopic(c.settings.brokerB, c.topic, 1, 6);
        DefaultMQProducer producer = traced(c, null);
        Message message = new Message(c.topic, "untraced".getBytes());
        SendResult silent = producer.send(message, new MessageQueue(c.topic, "broker-b", 0));
        Check.equal("trace of broker-b", false, silent.isTraceOn());
        Check.equal("region of broker-b", "region-b", silent.getRegionId());
        SendResult open = producer.send(c.message("traced"), c.queue(0));
        Check.equal("trace of broker-a", true, open.isTraceOn());
        Check.equal("region of broker-a", "DefaultRegion", open.getRegionId());
        Check.eventually(15_000, "trace of the second", Set.of("Pub"),
                () -> traces(c, SYSTEM_TOPIC, open.getMsgId()));
        Check.thrown("trace of the first", Exception.class,
                () -> traces(c, SYSTEM_TOPIC, silent.getMsgId()));
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = c.consumer();
        consumer.subscribe(c.topic, "*");
        consumer.registerMessageListener(inbox.concurrently());
        consumer.start();
        inbox.awaitExactly(2, 20_000, 100);
        Set<String> properties = inbox.all().stream().map(arrival -> arrival.body() + " "
                + arrival.message.getProperty("MSG_REGION") + " "
                + arrival.message.getProperty("TRACE_ON")).collect(Collectors.toSet());
        Check.equal("stored properties", Set.of("untraced region-b false",
                "traced DefaultRegion true"), properties);
    }

    static void traceIsFound(Context c) throws Exception {
        c.createTopic(1);
        Inbox inbox = new Inbox();
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(c.group, null,
                new AllocateMessageQueueAveragely(), true, null);
        consumer.setNamesrvAddr(c.settings.nameServer);
        consumer.setHeartbeatBrokerInterval(2000);
        consumer.subscribe(c.topic, "*");
        consumer.registerMessageListener(inbox.concurrently());
        c.closing(consumer::shutdown);
        c.start(consumer);
        SendResult sent = traced(c, null).send(
                new Message(c.topic, "tag", "key-" + c.group, "traced".getBytes()));
        inbox.awaitExactly(1, 20_000, 0);
        Check.eventually(20_000, "records of the message",
                new TreeSet<>(List.of("Pub", "SubAfter", "SubBefore")),
                () -> traces(c, SYSTEM_TOPIC, sent.getMsgId()));
        Check.that(!c.admin.queryMessage(SYSTEM_TOPIC, "key-" + c.group, 32, 0, Long.MAX_VALUE)
                .getMessageList().isEmpty(), "the message's own key finds no trace");
        String own = c.topic + "_trace";
        c.createTopic(c.settings.brokerA, own, 1, 6);
        SendResult other = traced(c, own).send(c.message("traced elsewhere"));
        Check.eventually(20_000, "records in a topic of one's own", Set.of("Pub"),
                () -> traces(c, own, other.getMsgId()));
    }
}
