package dev.millstream.clients;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A program in a JVM of its own, with this module's class path, that can be killed. */
final class Child implements AutoCloseable {
    private final Process process;
    private final Path output;

    private Child(Process process, Path output) {
        this.process = process;
        this.output = output;
    }

    static Child start(String mainClass, Object... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                // Small and quick to start: several run beside each other.
                "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
                "-cp", System.getProperty("surefire.test.class.path", System.getProperty("java.class.path")),
                mainClass));
        for (Object argument : arguments) {
            command.add(argument.toString());
        }
        Path output = Files.createTempFile("child-", ".log");
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(output.toFile())
                .start();
        return new Child(process, output);
    }

    /** SIGKILL: no chance to flush, to leave its group or to end its transaction. */
    void kill() throws InterruptedException {
        process.destroyForcibly();
        process.waitFor();
    }

    /** What it has printed, both streams. */
    String output() {
        try {
            return Files.readString(output);
        } catch (IOException error) {
            throw new AssertionError(error);
        }
    }

    boolean isAlive() {
        return process.isAlive();
    }

    /** Waits for its end and answers its exit code. */
    int await() throws InterruptedException {
        if (!process.waitFor(Broker.WAIT_MAX.toSeconds() * 2, TimeUnit.SECONDS)) {
            throw new AssertionError("still running: " + output());
        }
        return process.exitValue();
    }

    /** SIGTERM, and SIGKILL to one that does not end. */
    void stop() throws InterruptedException {
        process.destroy();
        if (!process.waitFor(Broker.WAIT_MAX.toSeconds(), TimeUnit.SECONDS)) {
            kill();
            throw new AssertionError("did not stop: " + output());
        }
    }

    @Override
    public void close() throws InterruptedException {
        kill();
        output.toFile().delete();
    }
}
