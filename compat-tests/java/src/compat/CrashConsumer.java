package compat;

import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * A consumer that pops until it is killed: one line for every message, written before the message is
 * acknowledged. Arguments: name server, topic, group, milliseconds a message is invisible. Ends when
 * standard input ends.
 */
public final class CrashConsumer {
    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), false);
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(args[2]);
        consumer.setNamesrvAddr(args[0]);
        Shim.popping(consumer, Long.parseLong(args[3]), 32);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(args[1], "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                String line = "GOT " + new String(message.getBody(), StandardCharsets.UTF_8)
                    + " " + message.getReconsumeTimes() + " " + message.getStoreTimestamp()
                    + " " + message.getProperty("POP_CK") + "\n";
                synchronized (out) {
                    out.print(line);
                    out.flush();
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        while (System.in.read() >= 0) {
            // Nothing is said on standard input; its end is the sign to stop.
        }
        Runtime.getRuntime().halt(0);
    }
}
