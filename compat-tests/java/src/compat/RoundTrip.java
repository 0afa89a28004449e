package compat;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;

/**
 * Sends messages to a topic and consumes all of them with a new group. Arguments: name server, topic,
 * number of messages. Ends with 0 when each came.
 */
public final class RoundTrip {
    private static final int PATIENCE_MILLIS = 60_000;

    private RoundTrip() {}

    public static void main(String[] args) throws Exception {
        int status = 1;
        try {
            run(args[0], args[1], Integer.parseInt(args[2]));
            status = 0;
        } catch (Throwable failure) {
            failure.printStackTrace();
        }
        Runtime.getRuntime().halt(status);
    }

    private static void run(String nameServer, String topic, int count) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("round-trip-producer");
        producer.setNamesrvAddr(nameServer);
        producer.setSendMsgTimeout(10_000);
        producer.start();
        Set<String> open = ConcurrentHashMap.newKeySet();
        long run = System.nanoTime();
        for (int i = 0; i < count; i++) {
            String body = run + "-" + i;
            Message message = new Message(topic, "paid", body.getBytes());
            Check.equal("sent", SendStatus.SEND_OK, producer.send(message).getSendStatus());
            open.add(body);
        }
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("round-trip-" + run);
        consumer.setNamesrvAddr(nameServer);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, "paid");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> open.remove(new String(message.getBody())));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        Check.eventually(PATIENCE_MILLIS, "left", 0, open::size);
        consumer.shutdown();
        producer.shutdown();
    }
}
