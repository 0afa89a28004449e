import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import org.testcontainers.containers.FixedHostPortGenericContainer;
import org.testcontainers.containers.GenericContainer;
import org.testcontainers.containers.wait.strategy.Wait;
import org.testcontainers.images.builder.Transferable;

/**
 * Tells what the container of the README asks for, a line each: its ports, its command, its files and
 * the line that it waits for. The recipe is put in the place of the comment below.
 */
public final class Recipe {
    private Recipe() {}

    public static void main(String[] args) throws Exception {
        // RECIPE
        mq.getPortBindings().forEach(binding -> System.out.println("BINDING " + binding));
        System.out.println("COMMAND " + String.join(" ", mq.getCommandParts()));
        mq.getCopyToTransferableContainerPathMap().forEach((content, path) ->
            System.out.println("FILE " + path + " "
                + new String(content.getBytes(), StandardCharsets.UTF_8)));
        Object wait = field(GenericContainer.class, mq, "waitStrategy");
        System.out.println("WAIT " + field(wait.getClass(), wait, "regEx"));
    }

    private static Object field(Class<?> of, Object object, String name) throws Exception {
        Field field = of.getDeclaredField(name);
        field.setAccessible(true);
        return field.get(object);
    }
}
