package twinhead.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import com.google.gson.JsonParser;
import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import java.io.IOException;
import java.io.StringWriter;
import java.util.Random;
import org.junit.Test;
import twinhead.v1.DataType;
import twinhead.v1.GetModelResponse;
import twinhead.v1.InferRequest;
import twinhead.v1.InferResponse;
import twinhead.v1.SentenceCode;
import twinhead.v1.StreamInferResponse;
import twinhead.v1.TaskKind;

public class AnswersTest {
    private final StringWriter output = new StringWriter();
    private final Answers answers = new Answers(output);

    private static InferResponse.Builder response(SentenceCode... codes) {
        var response = InferResponse.newBuilder().setModelVersion("3f");
        for (var code : codes) {
            response.addStatusesBuilder().setCode(code).setTokens(9);
        }
        return response;
    }

    private void accept(InferResponse.Builder response, String... sentences) throws IOException {
        var request = InferRequest.newBuilder();
        for (var sentence : sentences) {
            request.addSentences(sentence);
        }
        answers.accept(request.build(), StreamInferResponse.newBuilder().setResponse(response).build());
    }

    private void assertOutput(String expected) {
        assertEquals(expected.replace('\'', '"'), output.toString());
    }

    @Test
    public void everyKindOfTask() throws IOException {
        var ok = SentenceCode.SENTENCE_CODE_OK;
        var response = response(ok, ok);
        response.addTasksBuilder().setName("topic").addLabels("World").addLabels("Sports")
                .getSingleLabelBuilder().addLabelIndices(1).addLabelIndices(0).addScores(0.61f).addScores(1);
        response.addTasksBuilder().setName("urgent").addLabels("no").addLabels("yes")
                .getBinaryBuilder().addLabelIndices(0).addLabelIndices(1)
                .addProbabilities(0.25f).addProbabilities(0.75f);
        var flags = response.addTasksBuilder().setName("flags").addLabels("spam").addLabels("rude")
                .getMultiLabelBuilder();
        flags.addSentencesBuilder().addLabelIndices(1).addScores(0.7f).addLabelIndices(0).addScores(0.5f);
        flags.addSentencesBuilder();
        var entities = response.addTasksBuilder().setName("entities").getTokenBuilder();
        entities.addSentencesBuilder().addEntitiesBuilder().setLabel("LOC").setStart(3).setEnd(7).setScore(0.98f);
        entities.addSentencesBuilder();
        response.addTasksBuilder().setName("newer");
        response.getEmbeddingsBuilder().setDtype(DataType.DATA_TYPE_FLOAT32).addShape(2).addShape(2)
                .addFloat32Values(0).addFloat32Values(-1.5f).addFloat32Values(1e-10f).addFloat32Values(3);
        accept(response, "🏛🏛 Rome", "x");
        assertOutput(
                "{'line':1,'text':'🏛🏛 Rome','status':'ok','tokens':9,'truncated':false,"
                        + "'topic':{'label':'Sports','score':0.61},'urgent':{'label':'no','score':0.75},"
                        + "'flags':[{'label':'rude','score':0.7},{'label':'spam','score':0.5}],"
                        + "'entities':[{'label':'LOC','start':3,'end':7,'text':'Rome','score':0.98}],"
                        + "'newer':null,'embedding':[0.0,-1.5],'model_version':'3f'}\n"
                        + "{'line':2,'text':'x','status':'ok','tokens':9,'truncated':false,"
                        + "'topic':{'label':'World','score':1.0},'urgent':{'label':'yes','score':0.75},"
                        + "'flags':[],'entities':[],'newer':null,'embedding':[1.0E-10,3.0],'model_version':'3f'}\n");
        assertTrue(answers.complete());
    }

    @Test
    public void aSentenceWithoutAnAnswer() throws IOException {
        var response = response(SentenceCode.SENTENCE_CODE_TOO_LONG);
        response.getStatusesBuilder(0).setMessage("300 tokens");
        response.addTasksBuilder().setName("topic").getSingleLabelBuilder().addLabelIndices(-1).addScores(0);
        accept(response, "x");
        assertOutput("{'line':1,'text':'x','status':'too_long','tokens':9,'truncated':false,"
                + "'message':'300 tokens','model_version':'3f'}\n");
        assertFalse(answers.complete());
    }

    @Test
    public void aBatchThatIsRefused() throws IOException {
        accept(response(SentenceCode.SENTENCE_CODE_OK), "a");
        output.getBuffer().setLength(0);
        var request = InferRequest.newBuilder().addSentences("b").addSentences("c").build();
        var answer = StreamInferResponse.newBuilder();
        answer.getErrorBuilder().setCode(3).setMessage("no").addDetails(
                Any.pack(ErrorInfo.newBuilder().setReason("INVALID_REQUEST").build()));
        answers.accept(request, answer.build());
        var error = "'error':{'code':'INVALID_ARGUMENT','reason':'INVALID_REQUEST','message':'no'}}\n";
        assertOutput("{'line':2,'text':'b'," + error + "{'line':3,'text':'c'," + error);
        assertFalse(answers.complete());
    }

    @Test
    public void textIsEscapedAndComesBack() throws IOException {
        for (var text : new String[] {
            "\"quoted\" \\ /", "\u0000\u0001\b\t\f\r\u001f\u007f", "\u2028\u2029\u0085", "<&'>=", "🏛 e\u0308 北京"
        }) {
            output.getBuffer().setLength(0);
            accept(response(SentenceCode.SENTENCE_CODE_OK), text);
            var line = output.toString();
            assertEquals(line.length() - 1, line.indexOf('\n'));
            assertTrue(line, line.chars().allMatch(unit -> unit == '\n' || unit >= ' '));
            assertEquals(text, JsonParser.parseString(line).getAsJsonObject().get("text").getAsString());
        }
    }

    @Test
    public void numbersKeepTheirBits() throws IOException {
        var random = new Random(1);
        var response = response(SentenceCode.SENTENCE_CODE_OK);
        var tensor = response.getEmbeddingsBuilder().addShape(1);
        tensor.addFloat32Values(Float.MIN_VALUE).addFloat32Values(Float.MAX_VALUE).addFloat32Values(-0f)
                .addFloat32Values(Float.MIN_NORMAL).addFloat32Values(2.0e-3f).addFloat32Values(1.0e23f);
        while (tensor.getFloat32ValuesCount() < 100_000) {
            var value = Float.intBitsToFloat(random.nextInt());
            if (Float.isFinite(value)) {
                tensor.addFloat32Values(value);
            }
        }
        tensor.addShape(tensor.getFloat32ValuesCount());
        accept(response, "x");
        var read = JsonParser.parseString(output.toString()).getAsJsonObject().getAsJsonArray("embedding");
        for (var i = 0; i < read.size(); i++) {
            var number = read.get(i).getAsString();
            var bits = Float.floatToRawIntBits(tensor.getFloat32Values(i));
            assertEquals(number, bits, Float.floatToRawIntBits(Float.parseFloat(number)));
            // As readers do that know double precision alone.
            assertEquals(number, bits, Float.floatToRawIntBits((float) Double.parseDouble(number)));
        }
    }

    @Test
    public void theModel() throws IOException {
        var model = GetModelResponse.newBuilder()
                .setModelVersion("3f").setEncoder("MiniLM").setEmbeddingDimensions(384);
        model.addTasksBuilder().setName("topic").setKind(TaskKind.TASK_KIND_SINGLE_LABEL).addLabels("World");
        model.addTasksBuilder().setName("entities").setKind(TaskKind.TASK_KIND_TOKEN).addLabels("O").addLabels("B-PER");
        answers.model(model.build());
        assertOutput("{'model_version':'3f','encoder':'MiniLM','embedding_dimensions':384,'tasks':["
                + "{'name':'topic','kind':'single_label','labels':['World']},"
                + "{'name':'entities','kind':'token','labels':['O','B-PER']}]}\n");
    }
}
