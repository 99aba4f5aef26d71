/** The contract: types from `npm run generate`, and the same files read once more for the wire. */

import { fileURLToPath } from "node:url";

import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

import type { ProtoGrpcType as ErrorTypes } from "./generated/error_details.js";
import type { ProtoGrpcType as InferenceTypes } from "./generated/inference_service.js";
import type { ProtoGrpcType as ModelTypes } from "./generated/model_service.js";

// In this repository, seen from dist. Who copies this file sets the folder of their copies.
const FOLDERS = ["../../../../protos", "../../protos"];

// The types are generated for exactly these options.
const definition = loadSync(
  [
    "twinhead/v1/inference_service.proto",
    "twinhead/v1/model_service.proto",
    "google/rpc/error_details.proto",
  ],
  {
    longs: Number,
    enums: String,
    defaults: true,
    oneofs: true,
    includeDirs: FOLDERS.map((folder) => fileURLToPath(new URL(folder, import.meta.url))),
  },
);

export const { google, twinhead } = grpc.loadPackageDefinition(
  definition,
) as unknown as ErrorTypes & InferenceTypes & ModelTypes;
