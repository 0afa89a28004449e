package compat;

import java.io.PrintStream;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;

/**
 * Push consumers of one group that subscribe to one topic, each with tags of its own. Arguments: name
 * server, group, topic, and the tags of each. Says the ids of the clients and READY when all have
 * started; ends when standard input ends.
 */
public final class TornGroup {
    private TornGroup() {}

    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true);
        for (int i = 3; i < args.length; i++) {
            DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(args[1]);
            consumer.setNamesrvAddr(args[0]);
            consumer.setInstanceName("torn-" + i);
            consumer.setConsumeThreadMin(1);
            consumer.setConsumeThreadMax(1);
            consumer.subscribe(args[2], args[i]);
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) ->
                ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
            consumer.start();
            out.println(consumer.buildMQClientId());
        }
        out.println("READY");
        while (System.in.read() >= 0) {
            // Nothing is said on standard input; its end is the sign to stop.
        }
        Runtime.getRuntime().halt(0);
    }
}
