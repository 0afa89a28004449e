package compat;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/**
 * The messages that mqadmin looks at, each in a chosen queue, and the clients that are connected
 * meanwhile. The topics and groups exist before.
 */
final class MqAdminTraffic {
    private static final String BROKER_NAME = "broker";
    private static final int PLAIN_MESSAGES = 24;
    private static final int LIVE_MESSAGES = 8;
    /** Behind the last acknowledgement: offsets are sent every second. */
    private static final long SETTLE_MILLIS = 2500;
    private static final int PATIENCE_MILLIS = 30_000;

    private final String nameServer;
    private final String broker;
    private final AtomicInteger consumed = new AtomicInteger();
    private final AtomicInteger broadcast = new AtomicInteger();

    MqAdminTraffic(String nameServer, String broker) {
        this.nameServer = nameServer;
        this.broker = broker;
    }

    /** Sends and consumes; tells {@code values} what commands may name. */
    void start(BiConsumer<String, String> values) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("table-producer");
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName("table-producer");
        producer.setSendMsgTimeout(10_000);
        producer.start();
        sendKinds(producer, values);
        sendHalves();
        sendTraced(values);
        DefaultMQPushConsumer live = consumer("table-live", "TableLive", "A || B", this::consume);
        DefaultMQPushConsumer cast = consumer("table-cast", "TableCast", "*", message -> {
            broadcast.incrementAndGet();
            return 0;
        });
        Shim.broadcasting(cast);
        live.start();
        cast.start();
        values.accept("LIVE_CLIENT", live.buildMQClientId());
        values.accept("CAST_CLIENT", cast.buildMQClientId());
        // One comes twice, and the dead one comes once.
        Check.eventually(PATIENCE_MILLIS, "consumed", LIVE_MESSAGES + 3, consumed::get);
        Check.eventually(PATIENCE_MILLIS, "broadcast", 2, broadcast::get);
        leaveOffsets();
        Thread.sleep(SETTLE_MILLIS);
    }

    private void sendKinds(DefaultMQProducer producer, BiConsumer<String, String> values)
            throws Exception {
        for (int i = 0; i < PLAIN_MESSAGES; i++) {
            Message message = message("TablePlain", i % 3 == 0 ? "A" : "B", "plain-" + i);
            message.setKeys("key-" + i % 8 + " plain");
            message.putUserProperty("number", String.valueOf(i));
            SendResult result = send(producer, message, i % 4);
            if (i == 0) {
                values.accept("PLAIN_ID", result.getMsgId());
                values.accept("PLAIN_OFFSET_ID", result.getOffsetMsgId());
            }
        }
        for (int i = 0; i < 8; i++) {
            send(producer, message("TableOrder", null, "order-" + i), i % 4);
            send(producer, message("TableOne", "T" + i % 2, "one-" + i), 0);
        }
        for (int level : new int[] {1, 18}) {
            Message message = message("TableDelay", "late", "delayed");
            message.setDelayTimeLevel(level);
            send(producer, message, 0);
        }
        List<Message> batch = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            batch.add(message("TableBatch", "batch", "batch-" + i));
        }
        producer.send(batch, new MessageQueue("TableBatch", BROKER_NAME, 0));
        // The first: behind the last message that is consumed it would count as lag for 15 s.
        send(producer, message("TableLive", "C", "filtered"), 1);
        for (int i = 0; i < LIVE_MESSAGES; i++) {
            Message message = message("TableLive", "A", "live-" + i);
            message.setKeys("live");
            SendResult result = send(producer, message, i % 2);
            if (i == 0) {
                values.accept("LIVE_ID", result.getMsgId());
                values.accept("LIVE_OFFSET_ID", result.getOffsetMsgId());
            }
        }
        send(producer, message("TableLive", "A", "again"), 0);
        send(producer, message("TableLive", "B", "dead"), 1);
        for (int queue = 0; queue < 2; queue++) {
            send(producer, message("TableCast", "A", "cast"), queue);
        }
    }

    /** One is committed, one rolled back, one stays open. */
    private void sendHalves() throws Exception {
        TransactionMQProducer producer = new TransactionMQProducer("table-halves");
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName("table-halves");
        producer.setTransactionListener(new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message message, Object state) {
                return (LocalTransactionState) state;
            }

            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt message) {
                return LocalTransactionState.UNKNOW;
            }
        });
        producer.start();
        for (LocalTransactionState state : LocalTransactionState.values()) {
            producer.sendMessageInTransaction(message("TableHalf", null, state.name()), state);
        }
        producer.shutdown();
    }

    private void sendTraced(BiConsumer<String, String> values) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("table-traced", null, true, null);
        producer.setNamesrvAddr(nameServer);
        producer.setInstanceName("table-traced");
        producer.start();
        Message message = message("TableOne", "T", "traced");
        message.setKeys("traced");
        values.accept("TRACED_ID", send(producer, message, 0).getMsgId());
        // What waits is sent before the end.
        producer.shutdown();
    }

    /** A group that has consumed some and is not connected. */
    private void leaveOffsets() throws Exception {
        DefaultMQAdminExt admin = new DefaultMQAdminExt(10_000);
        admin.setNamesrvAddr(nameServer);
        admin.setInstanceName("table-admin");
        admin.start();
        for (int queue = 0; queue < 4; queue++) {
            MessageQueue plain = new MessageQueue("TablePlain", BROKER_NAME, queue);
            admin.updateConsumeOffset(broker, "table-idle", plain, queue);
        }
        admin.shutdown();
    }

    private interface Listener {
        int consume(MessageExt message);
    }

    /** A consumer that does with each message what {@code listener} says: 0 is success. */
    private DefaultMQPushConsumer consumer(
            String group, String topic, String tags, Listener listener) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(nameServer);
        consumer.setInstanceName(group);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeThreadMin(2);
        consumer.setConsumeThreadMax(2);
        consumer.setPersistConsumerOffsetInterval(1000);
        consumer.subscribe(topic, tags);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            int level = listener.consume(messages.get(0));
            context.setDelayLevelWhenNextConsume(level);
            return level == 0 ? ConsumeConcurrentlyStatus.CONSUME_SUCCESS
                    : ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        return consumer;
    }

    /** The delay level until a message comes again, -1 for never. */
    private int consume(MessageExt message) {
        String body = new String(message.getBody(), StandardCharsets.UTF_8);
        consumed.incrementAndGet();
        if (body.equals("dead")) {
            return -1;
        }
        return body.equals("again") && message.getReconsumeTimes() == 0 ? 1 : 0;
    }

    private static Message message(String topic, String tag, String body) {
        return new Message(topic, tag, body.getBytes(StandardCharsets.UTF_8));
    }

    private static SendResult send(DefaultMQProducer producer, Message message, int queue)
            throws Exception {
        return producer.send(message, new MessageQueue(message.getTopic(), BROKER_NAME, queue));
    }
}
