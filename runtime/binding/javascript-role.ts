/**
 * Says what a place in a JavaScript syntax tree takes: a value, a property's key, or neither. The table lists the
 * places that take an expression, not those that do not, so a kind of node nobody thought of refuses references.
 */
import type { SyntaxNode } from "./javascript-parse.ts";

/** A node with the way down to it. */
export interface Frame {
  readonly node: SyntaxNode;
  readonly field: string;
  readonly up: Frame | undefined;
}

export type Role = "expression" | "key" | "none";

const expressionFields: Readonly<Record<string, readonly string[]>> = {
  ArrayExpression: ["elements"],
  ArrowFunctionExpression: ["body"],
  AssignmentExpression: ["right"],
  AssignmentPattern: ["right"],
  AwaitExpression: ["argument"],
  BinaryExpression: ["left", "right"],
  CallExpression: ["callee", "arguments"],
  ChainExpression: ["expression"],
  ClassDeclaration: ["superClass"],
  ClassExpression: ["superClass"],
  ConditionalExpression: ["test", "consequent", "alternate"],
  DoWhileStatement: ["test"],
  ExpressionStatement: ["expression"],
  ForInStatement: ["right"],
  ForOfStatement: ["right"],
  ForStatement: ["init", "test", "update"],
  IfStatement: ["test"],
  ImportExpression: ["source", "options"],
  LogicalExpression: ["left", "right"],
  NewExpression: ["callee", "arguments"],
  ReturnStatement: ["argument"],
  SequenceExpression: ["expressions"],
  SpreadElement: ["argument"],
  SwitchCase: ["test"],
  SwitchStatement: ["discriminant"],
  TaggedTemplateExpression: ["tag"],
  TemplateLiteral: ["expressions"],
  ThrowStatement: ["argument"],
  VariableDeclarator: ["init"],
  WhileStatement: ["test"],
  WithStatement: ["object"],
  YieldExpression: ["argument"],
};

/** What the place of this node in its parent takes. */
export function roleOf({ field, up }: Frame): Role {
  if (up === undefined) return "none";
  const parent = up.node;
  switch (parent.type) {
    case "MemberExpression":
      return field === "object" || parent["computed"] === true ? "expression" : "none";
    // Deleting a bare name is an error in strict code and a question without an answer elsewhere.
    case "UnaryExpression":
      return parent["operator"] === "delete" ? "none" : "expression";
    case "Property":
      if (parent["shorthand"] === true) return "none";
      if (field === "key") return parent["computed"] === true ? "expression" : "key";
      return up.up?.node.type === "ObjectExpression" ? "expression" : "none";
    case "MethodDefinition":
    case "PropertyDefinition":
      if (field === "key") return parent["computed"] === true ? "expression" : "key";
      return "expression";
    default:
      return expressionFields[parent.type]?.includes(field) === true ? "expression" : "none";
  }
}
