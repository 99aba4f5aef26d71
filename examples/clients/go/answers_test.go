package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/status"

	pb "twinhead.example/client/twinheadpb"
)

func TestCodePoints(t *testing.T) {
	for _, test := range []struct {
		text       string
		start, end uint32
		want       string
	}{
		{"Ann lives in Rome", 13, 17, "Rome"},
		{"🏛 in Rome", 5, 9, "Rome"},
		{"🏛🏛x", 1, 2, "🏛"},
		{"a👨‍👩‍👧b", 1, 6, "👨‍👩‍👧"}, // three people and two joiners
		{"a👨‍👩‍👧b", 6, 7, "b"},
		{"e\u0301 x", 0, 2, "e\u0301"}, // a letter and its accent
		{"e\u0301 x", 3, 4, "x"},
		{"漢字かな", 1, 3, "字か"},
		{"👍🏽!", 0, 2, "👍🏽"}, // a thumb and its skin
		{"🇮🇹!", 0, 2, "🇮🇹"},
		{"\ufeffx", 1, 2, "x"},
		{"abc", 0, 0, ""},
		{"abc", 3, 3, ""},
		{"abc", 2, 9, "c"},
		{"abc", 7, 9, ""},
		{"", 0, 0, ""},
	} {
		if got := codePoints(test.text, test.start, test.end); got != test.want {
			t.Errorf("%q [%d:%d] is %q, want %q", test.text, test.start, test.end, got, test.want)
		}
	}
}

// anAnswer is to two sentences, of which the second is empty.
func anAnswer() *pb.StreamInferResponse {
	response := &pb.InferResponse{
		ModelVersion: "3f",
		Embeddings: &pb.Tensor{
			Shape:         []int64{2, 3},
			Dtype:         pb.DataType_DATA_TYPE_FLOAT32,
			Float32Values: []float32{0.1, -1e-9, 3, 0, 0, 0},
		},
		Statuses: []*pb.SentenceStatus{
			{Code: pb.SentenceCode_SENTENCE_CODE_OK, Tokens: 9, Truncated: true},
			{Code: pb.SentenceCode_SENTENCE_CODE_EMPTY, Message: "the sentence is empty"},
		},
		Tasks: []*pb.TaskResult{
			{Name: "topic", Labels: []string{"World", "Sports"}, Answer: &pb.TaskResult_SingleLabel{
				SingleLabel: &pb.SingleLabelAnswer{LabelIndices: []int32{1, -1}, Scores: []float32{0.61, 0}},
			}},
			{Name: "urgent", Labels: []string{"no", "yes"}, Answer: &pb.TaskResult_Binary{
				Binary: &pb.BinaryAnswer{LabelIndices: []int32{0, -1}, Probabilities: []float32{0.25, 0}},
			}},
			{Name: "flags", Labels: []string{"spam", "advert"}, Answer: &pb.TaskResult_MultiLabel{
				MultiLabel: &pb.MultiLabelAnswer{Sentences: []*pb.LabelSet{
					{LabelIndices: []int32{1, 0}, Scores: []float32{0.7, 0.5}}, {},
				}},
			}},
			{Name: "none", Answer: &pb.TaskResult_MultiLabel{
				MultiLabel: &pb.MultiLabelAnswer{Sentences: []*pb.LabelSet{{}, {}}},
			}},
			{Name: "<entities>", Answer: &pb.TaskResult_Token{
				Token: &pb.TokenAnswer{Sentences: []*pb.EntityList{
					{Entities: []*pb.Entity{{Label: "LOC", Start: 2, End: 6, Score: 0.98}}}, {},
				}},
			}},
		},
	}
	return &pb.StreamInferResponse{Result: &pb.StreamInferResponse_Response{Response: response}}
}

func TestPrint(t *testing.T) {
	var out bytes.Buffer
	printer := &printer{out: &out, line: 6}
	request := &pb.InferRequest{Sentences: []string{"🏛 Rome & <b>\"\u2028", ""}}
	if err := printer.print(request, anAnswer()); err != nil {
		t.Fatal(err)
	}
	want := `{"line":7,"text":"🏛 Rome & <b>\"\u2028","status":"ok","tokens":9,"truncated":true,` +
		`"topic":{"label":"Sports","score":0.61},"urgent":{"label":"no","score":0.75},` +
		`"flags":[{"label":"advert","score":0.7},{"label":"spam","score":0.5}],"none":[],` +
		`"<entities>":[{"label":"LOC","start":2,"end":6,"text":"Rome","score":0.98}],` +
		`"embedding":[0.1,-1e-9,3],"model_version":"3f"}` + "\n" +
		`{"line":8,"text":"","status":"empty","message":"the sentence is empty","tokens":0,"truncated":false,` +
		`"model_version":"3f"}` + "\n"
	if out.String() != want {
		t.Errorf("got  %s\nwant %s", out.String(), want)
	}
	if !printer.unanswered {
		t.Error("the empty line counts as answered")
	}
}

func TestPrintARefusal(t *testing.T) {
	var out bytes.Buffer
	printer := &printer{out: &out}
	failure := &status.Status{Code: 3, Message: "outputs.tasks[0]: unknown"}
	refused := &pb.StreamInferResponse{Result: &pb.StreamInferResponse_Error{Error: failure}}
	if err := printer.print(&pb.InferRequest{Sentences: []string{"a", "b"}}, refused); err != nil {
		t.Fatal(err)
	}
	failed := `"error":{"code":"INVALID_ARGUMENT","reason":"","message":"outputs.tasks[0]: unknown"}}` + "\n"
	if want := `{"line":1,"text":"a",` + failed + `{"line":2,"text":"b",` + failed; out.String() != want {
		t.Errorf("got  %s\nwant %s", out.String(), want)
	}
	if !printer.unanswered {
		t.Error("refused lines count as answered")
	}
}

func TestPrintAnAnswerToSomethingElse(t *testing.T) {
	one := &pb.InferRequest{Sentences: []string{"a"}}
	if err := (&printer{out: &bytes.Buffer{}}).print(one, anAnswer()); err == nil {
		t.Error("an answer to two sentences was taken for one")
	}
}

func TestFloatsComeBackToTheBit(t *testing.T) {
	values := []float32{0, -1, 0.1, 1.0 / 3, math.MaxFloat32, math.SmallestNonzeroFloat32, 1e-7, 16777216, 0.30000001}
	for bits := uint32(0x33000000); bits < 0x3f800000; bits += 99_991 {
		values = append(values, math.Float32frombits(bits))
	}
	line := object{}
	line.add("values", values)
	encoded, err := line.encoded()
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Values []float32 }
	if err := json.Unmarshal([]byte(encoded), &got); err != nil {
		t.Fatal(err)
	}
	for i, value := range values {
		if math.Float32bits(got.Values[i]) != math.Float32bits(value) {
			t.Errorf("%v came back as %v", value, got.Values[i])
		}
	}
}

func TestWhatJSONCannotSay(t *testing.T) {
	line := object{}
	line.add("score", float32(math.NaN()))
	var unsupported *json.UnsupportedValueError
	if _, err := line.encoded(); !errors.As(err, &unsupported) {
		t.Error(err)
	}
}

func TestModelLine(t *testing.T) {
	got, err := modelLine(&pb.GetModelResponse{
		ModelVersion:        "3f",
		Encoder:             "MiniLM",
		EmbeddingDimensions: 384,
		Tasks: []*pb.TaskInfo{
			{Name: "topic", Kind: pb.TaskKind_TASK_KIND_SINGLE_LABEL, Labels: []string{"R&D"}},
		},
	})
	want := `{"model_version":"3f","encoder":"MiniLM","embedding_dimensions":384,` +
		`"tasks":[{"name":"topic","kind":"single_label","labels":["R&D"]}]}`
	if err != nil || strings.TrimSpace(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}
