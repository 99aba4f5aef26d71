package main

import (
	"fmt"
	"io"
	"strings"

	"google.golang.org/grpc/status"

	pb "twinhead.example/client/twinheadpb"
)

// printer writes a line of JSON for each line of text.
type printer struct {
	out        io.Writer
	line       int  // number of the line that was written last
	unanswered bool // whether a line has no answer
}

type labelScore struct {
	Label string  `json:"label"`
	Score float32 `json:"score"`
}

type entity struct {
	Label string  `json:"label"`
	Start uint32  `json:"start"`
	End   uint32  `json:"end"`
	Text  string  `json:"text"`
	Score float32 `json:"score"`
}

type refusal struct {
	Code    string `json:"code"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// print writes the lines of a request, all at once, so that whoever reads them gets whole lines.
func (p *printer) print(request *pb.InferRequest, answer *pb.StreamInferResponse) error {
	response := answer.GetResponse()
	if asked, got := len(request.GetSentences()), len(response.GetStatuses()); response != nil && got != asked {
		return fmt.Errorf("the worker answered %d sentences with %d", asked, got)
	}
	var lines strings.Builder
	for row, text := range request.GetSentences() {
		p.line++
		line := object{}
		line.add("line", p.line)
		line.add("text", text)
		if response == nil {
			line.add("error", newRefusal(status.FromProto(answer.GetError())))
			p.unanswered = true
		} else {
			addAnswer(&line, response, row, text)
			p.unanswered = p.unanswered || !isOK(response.GetStatuses()[row])
		}
		encoded, err := line.encoded()
		if err != nil {
			return fmt.Errorf("line %d: %w", p.line, err)
		}
		lines.WriteString(encoded)
		lines.WriteByte('\n')
	}
	_, err := io.WriteString(p.out, lines.String())
	return err
}

func newRefusal(failure *status.Status) refusal {
	return refusal{Code: codeName(failure), Reason: reason(failure), Message: failure.Message()}
}

func isOK(sentence *pb.SentenceStatus) bool {
	return sentence.GetCode() == pb.SentenceCode_SENTENCE_CODE_OK
}

func addAnswer(line *object, response *pb.InferResponse, row int, text string) {
	sentence := response.GetStatuses()[row]
	line.add("status", enumName(sentence.GetCode(), "SENTENCE_CODE_"))
	if !isOK(sentence) {
		line.add("message", sentence.GetMessage())
	}
	line.add("tokens", sentence.GetTokens())
	line.add("truncated", sentence.GetTruncated())
	if isOK(sentence) {
		for _, task := range response.GetTasks() {
			line.add(task.GetName(), taskAnswer(task, row, text))
		}
		if embeddings := response.GetEmbeddings(); embeddings != nil {
			dimensions := int(embeddings.GetShape()[1])
			line.add("embedding", embeddings.GetFloat32Values()[row*dimensions:(row+1)*dimensions])
		}
	}
	line.add("model_version", response.GetModelVersion())
}

// taskAnswer is what a task says of one sentence; nil when it is of a kind that this client does not
// know.
func taskAnswer(task *pb.TaskResult, row int, text string) interface{} {
	labels := task.GetLabels()
	switch answer := task.GetAnswer().(type) {
	case *pb.TaskResult_SingleLabel:
		single := answer.SingleLabel
		return labelScore{labels[single.GetLabelIndices()[row]], single.GetScores()[row]}
	case *pb.TaskResult_Binary:
		index, score := answer.Binary.GetLabelIndices()[row], answer.Binary.GetProbabilities()[row]
		if index == 0 {
			score = 1 - score // it is the probability of labels[1]
		}
		return labelScore{labels[index], score}
	case *pb.TaskResult_MultiLabel:
		set := answer.MultiLabel.GetSentences()[row]
		found := []labelScore{} // not nil, which would be null in JSON
		for i, index := range set.GetLabelIndices() {
			found = append(found, labelScore{labels[index], set.GetScores()[i]})
		}
		return found
	case *pb.TaskResult_Token:
		found := []entity{}
		for _, each := range answer.Token.GetSentences()[row].GetEntities() {
			start, end := each.GetStart(), each.GetEnd()
			found = append(found, entity{each.GetLabel(), start, end, codePoints(text, start, end), each.GetScore()})
		}
		return found
	}
	return nil
}

// codePoints is the part of text between two offsets that count Unicode code points, as those of the
// contract do. Slicing a string counts bytes.
func codePoints(text string, start, end uint32) string {
	from := byteOffset(text, start)
	return text[from : from+byteOffset(text[from:], end-start)]
}

// byteOffset is where the code point with this number begins; the end of text when it has no more.
func byteOffset(text string, number uint32) int {
	for offset := range text { // by code points
		if number == 0 {
			return offset
		}
		number--
	}
	return len(text)
}

// modelLine is the model as one line of JSON.
func modelLine(model *pb.GetModelResponse) (string, error) {
	type task struct {
		Name   string   `json:"name"`
		Kind   string   `json:"kind"`
		Labels []string `json:"labels"`
	}
	tasks := []task{}
	for _, each := range model.GetTasks() {
		tasks = append(tasks, task{each.GetName(), enumName(each.GetKind(), "TASK_KIND_"), each.GetLabels()})
	}
	line := object{}
	line.add("model_version", model.GetModelVersion())
	line.add("encoder", model.GetEncoder())
	line.add("embedding_dimensions", model.GetEmbeddingDimensions())
	line.add("tasks", tasks)
	return line.encoded()
}

// enumName is the name of a value without what all names of its enum begin with, in lower case.
func enumName(value fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(value.String(), prefix))
}
