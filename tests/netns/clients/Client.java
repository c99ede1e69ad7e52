import java.io.BufferedReader;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Runs a plan with Java's HttpClient or HttpURLConnection. A line of the plan: METHOD BODY-SIZE URL [HEADER VALUE], or "wait". */
class Client {
    static final HttpClient CLIENT = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NORMAL).build();

    static long[] modern(String[] step) throws Exception {
        var size = Integer.parseInt(step[1]);
        var body = size > 0 ? HttpRequest.BodyPublishers.ofByteArray(new byte[size]) : HttpRequest.BodyPublishers.noBody();
        var request = HttpRequest.newBuilder(URI.create(step[2])).method(step[0], body);
        if (step.length > 3) request.header(step[3], step[4]);
        var answer = CLIENT.send(request.build(), HttpResponse.BodyHandlers.ofInputStream());
        try (InputStream stream = answer.body()) {
            return new long[] {answer.statusCode(), count(stream)};
        }
    }

    static long[] classic(String[] step) throws Exception {
        var connection = (HttpURLConnection) URI.create(step[2]).toURL().openConnection();
        var size = Integer.parseInt(step[1]);
        connection.setReadTimeout(5000);
        if (step.length > 3) connection.setRequestProperty(step[3], step[4]);
        if (size > 0) {
            connection.setRequestMethod(step[0]);
            connection.setDoOutput(true);
            connection.setFixedLengthStreamingMode(size);
            try (var output = connection.getOutputStream()) {
                output.write(new byte[size]);
            }
        }
        var status = connection.getResponseCode();
        try (InputStream stream = status < 400 ? connection.getInputStream() : connection.getErrorStream()) {
            return new long[] {status, stream == null ? 0 : count(stream)};
        }
    }

    static long count(InputStream stream) throws Exception {
        long total = 0;
        var piece = new byte[1 << 16];
        for (int read; (read = stream.read(piece)) >= 0; ) total += read;
        return total;
    }

    public static void main(String[] arguments) throws Exception {
        var input = new BufferedReader(new InputStreamReader(System.in));
        for (String line : Files.readAllLines(Path.of(arguments[1]))) {
            if (line.equals("wait")) {
                input.readLine();
                continue;
            }
            var step = line.split("\t");
            try {
                var result = arguments[0].equals("HttpClient") ? modern(step) : classic(step);
                System.out.printf("{\"status\": %d, \"size\": %d, \"error\": \"\"}%n", result[0], result[1]);
            } catch (Exception error) {
                var text = error.toString().replaceAll("[^ -~]|[\"\\\\]", "'");
                System.out.printf("{\"status\": 0, \"size\": 0, \"error\": \"%s\"}%n", text);
            }
        }
        System.exit(0);
    }
}
