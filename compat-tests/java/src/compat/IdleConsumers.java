package compat;

import java.io.PrintStream;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;

/**
 * Push consumers that wait for messages, each with connections of its own; groups of five share a topic.
 * Arguments: name server, number of consumers, and what topics begin with. Says READY when all have
 * started; ends when standard input ends.
 */
public final class IdleConsumers {
    private static final int GROUP = 5;

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true);
        for (int i = 0; i < Integer.parseInt(args[1]); i++) {
            int group = i / GROUP;
            DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("idle-" + group);
            consumer.setNamesrvAddr(args[0]);
            consumer.setInstanceName("idle-" + i);
            consumer.setConsumeThreadMin(1);
            consumer.setConsumeThreadMax(1);
            consumer.subscribe(args[2] + group, "*");
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) ->
                ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
            consumer.start();
        }
        out.println("READY");
        while (System.in.read() >= 0) {
            // Nothing is said on standard input; its end is the sign to stop.
        }
        Runtime.getRuntime().halt(0);
    }
}
