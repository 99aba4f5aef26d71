package twinhead.client;

import com.google.gson.stream.JsonWriter;
import com.google.rpc.Status;
import java.io.IOException;
import java.io.Writer;
import java.util.Locale;
import twinhead.v1.GetModelResponse;
import twinhead.v1.InferRequest;
import twinhead.v1.InferResponse;
import twinhead.v1.LabelSet;
import twinhead.v1.SentenceCode;
import twinhead.v1.StreamInferResponse;
import twinhead.v1.TaskResult;

/** Writes answers as JSON, a line for each sentence. */
final class Answers implements Client.Sink {
    private final Writer output;
    private long line;
    private boolean complete = true;

    Answers(Writer output) {
        this.output = output;
    }

    /** Whether each sentence so far has an answer. */
    boolean complete() {
        return complete;
    }

    /** Writes the model. */
    void model(GetModelResponse model) throws IOException {
        var json = new JsonWriter(output).beginObject();
        json.name("model_version").value(model.getModelVersion());
        json.name("encoder").value(model.getEncoder());
        json.name("embedding_dimensions").value(model.getEmbeddingDimensions());
        json.name("tasks").beginArray();
        for (var task : model.getTasksList()) {
            json.beginObject();
            json.name("name").value(task.getName());
            json.name("kind").value(word(task.getKind(), "TASK_KIND_"));
            json.name("labels").beginArray();
            for (var label : task.getLabelsList()) {
                json.value(label);
            }
            json.endArray().endObject();
        }
        json.endArray().endObject();
        endLine();
        output.flush();
    }

    @Override
    public void accept(InferRequest request, StreamInferResponse answer) throws IOException {
        for (var row = 0; row < request.getSentencesCount(); row++) {
            var text = request.getSentences(row);
            var json = new JsonWriter(output).beginObject();
            json.name("line").value(++line);
            json.name("text").value(text);
            if (answer.hasError()) {
                error(json, answer.getError());
            } else {
                sentence(json, text, answer.getResponse(), row);
            }
            json.endObject();
            endLine();
        }
        output.flush();
    }

    private void error(JsonWriter json, Status status) throws IOException {
        complete = false;
        var error = WorkerException.of(status);
        json.name("error").beginObject();
        json.name("code").value(error.code().name());
        if (!error.reason().isEmpty()) {
            json.name("reason").value(error.reason());
        }
        json.name("message").value(error.getMessage()).endObject();
    }

    private void sentence(JsonWriter json, String text, InferResponse response, int row)
            throws IOException {
        var status = response.getStatuses(row);
        json.name("status").value(word(status.getCode(), "SENTENCE_CODE_"));
        json.name("tokens").value(Integer.toUnsignedLong(status.getTokens()));
        json.name("truncated").value(status.getTruncated());
        if (status.getCode() == SentenceCode.SENTENCE_CODE_OK) {
            for (var task : response.getTasksList()) {
                json.name(task.getName());
                task(json, text, task, row);
            }
            if (response.hasEmbeddings()) {
                json.name("embedding");
                embedding(json, response, row);
            }
        } else {
            complete = false;
            json.name("message").value(status.getMessage());
        }
        json.name("model_version").value(response.getModelVersion());
    }

    private static void task(JsonWriter json, String text, TaskResult task, int row) throws IOException {
        switch (task.getAnswerCase()) {
            case SINGLE_LABEL -> {
                var answer = task.getSingleLabel();
                scored(json, task.getLabels(answer.getLabelIndices(row)), answer.getScores(row));
            }
            case BINARY -> {
                var answer = task.getBinary();
                var index = answer.getLabelIndices(row);
                var yes = answer.getProbabilities(row);
                scored(json, task.getLabels(index), index == 1 ? yes : 1 - yes);
            }
            case MULTI_LABEL -> labels(json, task, task.getMultiLabel().getSentences(row));
            case TOKEN -> entities(json, text, task, row);
            // A kind that is newer than this client.
            case ANSWER_NOT_SET -> json.nullValue();
        }
    }

    private static void labels(JsonWriter json, TaskResult task, LabelSet set) throws IOException {
        json.beginArray();
        for (var i = 0; i < set.getLabelIndicesCount(); i++) {
            scored(json, task.getLabels(set.getLabelIndices(i)), set.getScores(i));
        }
        json.endArray();
    }

    private static void entities(JsonWriter json, String text, TaskResult task, int row)
            throws IOException {
        var offsets = new Offsets(text);
        json.beginArray();
        for (var entity : task.getToken().getSentences(row).getEntitiesList()) {
            json.beginObject();
            json.name("label").value(entity.getLabel());
            json.name("start").value(entity.getStart());
            json.name("end").value(entity.getEnd());
            var start = offsets.units(entity.getStart());
            json.name("text").value(text.substring(start, offsets.units(entity.getEnd())));
            json.name("score").value(entity.getScore());
            json.endObject();
        }
        json.endArray();
    }

    private static void scored(JsonWriter json, String label, float score) throws IOException {
        json.beginObject();
        json.name("label").value(label);
        json.name("score").value(score);
        json.endObject();
    }

    private static void embedding(JsonWriter json, InferResponse response, int row) throws IOException {
        var embeddings = response.getEmbeddings();
        var dimensions = (int) embeddings.getShape(1);
        json.beginArray();
        for (var i = 0; i < dimensions; i++) {
            json.value(embeddings.getFloat32Values(row * dimensions + i));
        }
        json.endArray();
    }

    /** A constant of the contract in small letters, without the prefix of its type. */
    private static String word(Enum<?> constant, String prefix) {
        return constant.name().replaceFirst(prefix, "").toLowerCase(Locale.ROOT);
    }

    private void endLine() throws IOException {
        output.write('\n');
    }
}
